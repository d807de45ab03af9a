"""The truth about every chunk, beside the store: what was built, from what, and what went wrong."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

from ardcube.chunk_record import DONE, Attempt, ChunkRecord, Status
from ardcube.errors import StoreError
from ardcube.ledger_table import (
    Entry,
    by_name,
    entries,
    lenient,
    newest_of_each,
    records_in,
    row,
    rows_of_newest,
    to_parquet,
)
from ardcube.plan import ChunkKey
from ardcube.storage import Options, Place

__all__ = ["DONE", "SUFFIX", "Attempt", "ChunkRecord", "Ledger", "Status", "finished"]

SUFFIX = ".ardcube"
"""A ledger's folder is the store's name with this."""
_TABLE = "ledger.parquet"
_CUBE = "cube.json"
_CHUNKS = "chunks"
_PART = re.compile(rf"{_CHUNKS}/gathered-(\d{{6,}})-\w+\.parquet")
_FILES_AT_ONCE = 2_000
"""Small files fetched together, and held in memory together."""


def finished(records: Mapping[ChunkKey, ChunkRecord]) -> Iterator[tuple[ChunkKey, str]]:
    """Chunks that were built, each with the hash of what from."""
    return ((key, record.inputs) for key, record in records.items() if record.status in DONE)


class Ledger:
    """Records beside one store. Safe for many writers of different chunks."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    def beside(cls, store: Place) -> Ledger:
        """The ledger of a store."""
        return cls(store.beside(SUFFIX))

    @classmethod
    def at(cls, uri: str, options: Options | None = None) -> Ledger:
        """The ledger in a folder."""
        return cls(Place.at(uri, options))

    def read_cube(self) -> dict[str, Any] | None:
        """`cube.json`: what the cube is, or None where there is no cube.

        Raises
        ------
        StoreError
            If it was damaged.
        """
        content = self.place.read(_CUBE)
        if content is None:
            return None
        try:
            cube = json.loads(content)
            if not isinstance(cube, dict) or not isinstance(cube["identity"], dict):
                raise ValueError("no identity")
        except (ValueError, KeyError) as error:
            raise StoreError(
                f"{self.place.uri}/{_CUBE} is damaged ({error}); restore it, or remove the cube by hand"
            ) from error
        return cube

    def write_cube(self, cube: Mapping[str, Any]) -> None:
        """Replace `cube.json`."""
        self.place.write(_CUBE, json.dumps(cube, indent=1).encode())

    def read(self, key: ChunkKey) -> ChunkRecord | None:
        """The record of a chunk that was not compacted, or None. A damaged one counts as none."""
        content = self.place.read(key.path)
        return None if content is None else lenient(content)

    def read_each(self, keys: Iterable[ChunkKey]) -> dict[ChunkKey, ChunkRecord]:
        """Records of chunks that were not compacted; those that have none are left out."""
        return {record.key: record for record, _ in self._files([key.path for key in keys])}

    def write(self, record: ChunkRecord) -> None:
        """Replace the record of a chunk, in one piece."""
        self.place.write(record.key.path, record.to_json())

    def records(self, *, brief: bool = False) -> dict[ChunkKey, ChunkRecord]:
        """All records, the newest of each chunk.

        Parameters
        ----------
        brief : bool
            Without statistics, seconds and bytes, which take most of the memory: 100,000 records are then about 50 MB.
        """
        names = _Names.of(self.place.list(_CHUNKS))
        return newest_of_each(self._newest_first(names), brief=brief)

    def gather(self, records: Collection[ChunkRecord]) -> None:
        """Put records that a run holds already into one file, and drop their own ones, while the run goes on.

        So a run of very many chunks that is killed leaves few files to read. Records of failed chunks are left out:
        they keep their file, where the next attempt looks for the ones before. Only for records whose chunks nobody
        builds any more.
        """
        done = [record for record in records if record.status in DONE]
        if not done:
            return
        number = max(_Names.of(self.place.list(_CHUNKS)).numbers, default=0) + 1
        # The suffix keeps a second run that should not be there from replacing this one's file.
        name = f"{_CHUNKS}/gathered-{number:06d}-{uuid.uuid4().hex[:8]}.parquet"
        self.place.write(name, to_parquet(row(record, record.to_json().decode()) for record in done))
        self.place.remove(record.key.path for record in done)

    def compact(self, known: Mapping[ChunkKey, ChunkRecord] | None = None) -> Mapping[ChunkKey, ChunkRecord]:
        """Gather all records in one table, drop the files of finished chunks, and return the records in brief.

        Failed chunks keep their file, so that the next attempt sees the ones before.

        Parameters
        ----------
        known : mapping, optional
            What `records` gave when the run began: returned if nothing came since, which saves reading it again.
        """
        names = _Names.of(self.place.list(_CHUNKS))
        found: dict[ChunkKey, ChunkRecord] = {}
        if not names.files and not names.parts:
            return known or newest_of_each(self._newest_first(names), brief=True)
        self.place.write(_TABLE, to_parquet(rows_of_newest(self._newest_first(names), found)))
        # What is removed was read above: a file that came since then stays.
        single = {record.key.path for record in found.values() if record.status in DONE}.intersection(names.files)
        self.place.remove([*sorted(single), *names.parts])
        return dict(sorted(found.items(), key=by_name))

    def _newest_first(self, names: _Names) -> Iterator[Entry]:
        """Every record, some twice: of single files, of gathered ones, of the table."""
        tables = (self.place.read(name) for name in (*reversed(names.parts), _TABLE))
        return chain(
            self._files(names.files),
            (entry for table in tables if table is not None for entry in entries(records_in(table))),
        )

    def _files(self, names: Sequence[str]) -> Iterator[Entry]:
        for start in range(0, len(names), _FILES_AT_ONCE):
            contents = self.place.read_many(names[start : start + _FILES_AT_ONCE])
            yield from entries(contents.values())


@dataclass(frozen=True, slots=True)
class _Names:
    """What lies in the folder of chunks."""

    files: tuple[str, ...]
    """One record each."""
    parts: tuple[str, ...]
    """Gathered records, oldest first."""
    numbers: tuple[int, ...]
    """Of the parts."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        names = sorted(names)
        parts = sorted((int(match[1]), name) for name in names if (match := _PART.fullmatch(name)))
        return cls(
            tuple(name for name in names if name.endswith(".json")),
            tuple(name for _, name in parts),
            tuple(number for number, _ in parts),
        )
