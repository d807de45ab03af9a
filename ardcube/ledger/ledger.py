"""The ledger of a cube: one record per chunk, in files next to the store."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ardcube.errors import StoreError, TransientError
from ardcube.lease.fence import Fence
from ardcube.ledger.brief import BriefBuilder
from ardcube.ledger.cube_file import parse_cube
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.ledger.table import (
    Entry,
    entries,
    new_rows,
    newest_of_each,
    record_or_none,
    records_in,
    row,
    tables_of,
    to_parquet,
)
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.compare_and_swap import Version, read_version, swap
from ardcube.storage.failures import explained
from ardcube.storage.place import Options, Place

if TYPE_CHECKING:  # slow to import
    import pyarrow as pa

RECORDS_PER_FILE = 5_000
"""Finished chunks whose records are merged into one file while a run goes on."""
SUFFIX = ".ardcube"
"""Suffix of the ledger's folder, after the name of the store."""
REPORT = "report.html"
"""Name of the report page that a run may write into the folder."""
LEVELS = "levels"
"""Folder of the ledgers of a pyramid's levels."""
_TABLE = "ledger.parquet"
_CUBE = "cube.json"
_CHUNKS = "chunks"
_MERGED = re.compile(rf"{_CHUNKS}/gathered-(\d{{6,}})-\w+\.parquet")
_FILES_AT_ONCE = 2_000
"""Small files that are read together, and in memory together."""
_READ_ATTEMPTS = 20
"""Attempts to read all records. An attempt fails if another process moves records meanwhile."""


def stores_with_ledgers(folder: Place) -> list[Place]:
    """Return the stores in a folder that have a ledger."""
    folder.fs.invalidate_cache()
    try:
        found = folder.outlast(lambda: folder.fs.ls(folder.path, detail=False))
    except FileNotFoundError:
        return []
    names = sorted(path.rstrip("/").rpartition("/")[2] for path in found)
    return [folder.sibling(f"/{name.removesuffix(SUFFIX)}") for name in names if name.endswith(SUFFIX)]


def stored_inputs(records: Mapping[ChunkKey, ChunkRecord], skip_bad_scenes: int = 0) -> Iterator[tuple[ChunkKey, str]]:
    """Yield the key of each chunk of which the store has pixels, and its inputs.

    The inputs are empty if the chunk must be built again: more scenes were skipped, or its last build failed.
    """
    return (
        (key, record.inputs if record.is_built(skip_bad_scenes) else "")
        for key, record in records.items()
        if record.has_pixels
    )


class Ledger:
    """Records of one store. Many processes may write records of different chunks, merge and compact at once.

    Parameters
    ----------
    place : Place
        Folder of the ledger.
    fence : Fence, optional
        Checked before a record is written, merged or compacted.
    """

    def __init__(self, place: Place, fence: Fence | None = None) -> None:
        self.place = place
        self.fence = fence

    @classmethod
    def of_store(cls, store: Place) -> Ledger:
        """Return the ledger of a store."""
        return cls(store.sibling(SUFFIX))

    @classmethod
    def at(cls, uri: str, options: Options | None = None) -> Ledger:
        """Return the ledger in a folder."""
        return cls(Place.at(uri, options))

    def held_by(self, holder: str) -> Ledger:
        """Return the same ledger, which writes only while the lease has this holder."""
        return Ledger(self.place, Fence(self.place, holder))

    def of_level(self, level: int) -> Ledger:
        """Return the ledger of a level of the pyramid, which is fenced as this one; that of level 0 is this one."""
        return Ledger(self.place.child(f"{LEVELS}/{level}"), self.fence) if level else self

    def read_cube(self) -> dict[str, Any] | None:
        """Read `cube.json`, the identity and configuration of the cube; None if there is no cube.

        Raises
        ------
        InputError
            If a later version of ardcube wrote the cube in a format that this one does not know.
        StoreError
            If the file is damaged.
        """
        content = self.place.read(_CUBE)
        return None if content is None else parse_cube(content, f"{self.place.uri}/{_CUBE}")

    def write_cube(self, cube: Mapping[str, Any]) -> None:
        """Replace `cube.json`."""
        self.place.write(_CUBE, json.dumps(cube, indent=1).encode())

    def read(self, key: ChunkKey) -> ChunkRecord | None:
        """Read the file of a chunk's record; None if it is missing, damaged or compacted."""
        with explained(self.place.uri):
            content = self.place.read(key.path)
        return None if content is None else record_or_none(content)

    def read_each(self, keys: Iterable[ChunkKey]) -> dict[ChunkKey, ChunkRecord]:
        """Read the files of several records; missing, damaged and compacted ones are left out."""
        return {record.key: record for record, _ in self._files([key.path for key in keys])}

    def write(self, record: ChunkRecord) -> None:
        """Replace the record of a chunk atomically.

        Raises
        ------
        LeaseLostError
            If the run no longer holds the lease of the cube.
        UnwritableError, TransientError
            If the store refuses the file, permanently or for a while.
        """
        self._check()
        with explained(self.place.uri):
            self.place.write(record.key.path, record.to_json())

    def records(self, *, brief: bool = False) -> Mapping[ChunkKey, ChunkRecord]:
        """Read the newest record of each chunk.

        Parameters
        ----------
        brief : bool
            Leave out statistics, seconds and bytes, which take most of the memory. A million records are then 40 MB.

        Raises
        ------
        TransientError
            If other processes move records during every attempt.
        """
        for _ in range(_READ_ATTEMPTS):
            before, names = self._moved(), self._names()
            found = self._brief(names) if brief else newest_of_each(self._newest_first(names))
            if self._moved() == before:
                return found  # otherwise a record may have moved past the reader
        raise TransientError(f"{self.place.uri} is changed all the time; run again")

    def each(self) -> Iterator[ChunkRecord]:
        """Yield the newest record of each chunk in no order; only some thousands are in memory.

        Raises
        ------
        TransientError
            If other processes move records during every attempt.
        """
        seen: set[str] = set()
        for _ in range(_READ_ATTEMPTS):
            before, names = self._moved(), self._names()
            for record, _ in self._newest_first(names):
                if (key := str(record.key)) not in seen:
                    seen.add(key)
                    yield record
            if self._moved() == before:
                return  # otherwise a record may have moved past the reader
        raise TransientError(f"{self.place.uri} is changed all the time; run again")

    def merge(self, records: Collection[ChunkRecord]) -> None:
        """Merge the files of finished records into one, while the run continues.

        A run of very many chunks that is killed then leaves few files to read. A failed chunk keeps its file, because
        the next attempt reads the earlier ones there. No process may still build one of the chunks.
        """
        done = [record for record in records if record.status in DONE]
        if not done:
            return
        self._check()
        number = max(self._names().numbers, default=0) + 1
        # The random suffix prevents that a second run, which does not know that it lost the lease, replaces the file.
        name = f"{_CHUNKS}/gathered-{number:06d}-{uuid.uuid4().hex[:8]}.parquet"
        with explained(self.place.uri):
            self.place.write(name, to_parquet(tables_of(row(one, one.to_json().decode()) for one in done)))
            self.place.remove(record.key.path for record in done)

    def compact(self) -> Mapping[ChunkKey, ChunkRecord]:
        """Move all records to one table, remove the files of finished chunks, and return `records(brief=True)`.

        A failed chunk keeps its file, because the next attempt reads the earlier ones there.
        """
        self._check()
        for _ in range(_READ_ATTEMPTS):
            names = self._names()
            if not names.files and not names.merged:
                return self.records(brief=True)
            table: list[Version] = []
            builder = BriefBuilder()
            content = to_parquet(self._new_rows(names, builder, table))
            with explained(self.place.uri):
                # Of two processes that compact at once, the second reads again what the first has written.
                if swap(self.place, _TABLE, table[0], content):
                    break
        else:
            raise TransientError(f"{self.place.uri}/{_TABLE} is changed all the time; run again")
        # Only files that were read above: a later file stays.
        found, files = builder.finish(), frozenset(names.files)
        done = (record.key.path for record in found.values() if record.status in DONE) if files else ()
        with explained(self.place.uri):
            self.place.remove([*(path for path in done if path in files), *names.merged])
        return found

    def _check(self) -> None:
        if self.fence is not None:
            self.fence.check()

    def _names(self) -> _Names:
        return _Names.of(self.place.list(_CHUNKS))

    def _moved(self) -> tuple[frozenset[str], object]:
        """Return a value that changes whenever records are moved: the merged files, and the stamp of the table."""
        merged = frozenset(name for name in self.place.list_files(_CHUNKS) if _MERGED.fullmatch(name))
        return merged, self.place.stamp(_TABLE)

    def _newest_first(self, names: _Names) -> Iterator[Entry]:
        """Yield the records of single files, of merged files and of the table.

        Records move in this order, so that none is missed; some come twice, the newest first.
        """
        yield from self._files(names.files)
        for name, content in self._tables(names):
            with self._damage_named(name):
                yield from entries(records_in(content))

    def _brief(self, names: _Names) -> Mapping[ChunkKey, ChunkRecord]:
        """Return the newest record of each chunk without statistics, seconds and bytes."""
        found = BriefBuilder()
        for record, _ in self._files(names.files):
            found.add(record)
        for name, content in self._tables(names):
            with self._damage_named(name):
                for _ in new_rows(content, found, whole=False):
                    pass
        return found.finish()

    def _new_rows(self, names: _Names, found: BriefBuilder, table: list[Version]) -> Iterator[pa.Table]:
        """Yield the rows of the newest record of each chunk, and add the version of the table to `table`."""
        yield from tables_of(row(record, text) for record, text in self._files(names.files) if found.add(record))
        for name, content in self._tables(names, table):
            with self._damage_named(name):
                yield from new_rows(content, found, whole=True)

    def _tables(self, names: _Names, table: list[Version] | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of the merged files, the newest first, and of the table."""
        for name in (*reversed(names.merged), _TABLE):
            with explained(self.place.uri):
                if name == _TABLE and table is not None:
                    table.append(read_version(self.place, name))
                    content = table[0].content
                else:
                    content = self.place.read(name)
            if content is not None:
                yield name, content

    @contextmanager
    def _damage_named(self, name: str) -> Iterator[None]:
        """Raise the StoreError of a damaged table with its name and a remedy."""
        try:
            yield
        except StoreError as error:
            raise StoreError(
                f"{self.place.uri}/{name} is damaged ({error}); restore the file, or remove it to build its "
                "chunks again"
            ) from error

    def _files(self, names: Sequence[str]) -> Iterator[Entry]:
        for start in range(0, len(names), _FILES_AT_ONCE):
            with explained(self.place.uri):
                contents = self.place.read_many(names[start : start + _FILES_AT_ONCE])
            yield from entries(contents.values())


@dataclass(frozen=True, slots=True)
class _Names:
    """Files in the folder of chunks."""

    files: tuple[str, ...]
    """Files of one record."""
    merged: tuple[str, ...]
    """Files of many records, oldest first."""
    numbers: tuple[int, ...]
    """Numbers of the merged files."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        names = sorted(names)
        merged = sorted((int(match[1]), name) for name in names if (match := _MERGED.fullmatch(name)))
        return cls(
            tuple(name for name in names if name.endswith(".json")),
            tuple(name for _, name in merged),
            tuple(number for number, _ in merged),
        )
