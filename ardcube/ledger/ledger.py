"""The truth about every chunk, beside the store: what was built, from what, and what went wrong."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ardcube.errors import StoreError, TransientError
from ardcube.fingerprint import digest
from ardcube.lease.fence import Fence, fence_of
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.ledger.table import (
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
from ardcube.plan.jobs import ChunkKey
from ardcube.storage.compare_and_swap import exchange
from ardcube.storage.failures import explained
from ardcube.storage.place import Options, Place

SUFFIX = ".ardcube"
"""A ledger's folder is the store's name with this."""
_TABLE = "ledger.parquet"
_CUBE = "cube.json"
_CHUNKS = "chunks"
_PART = re.compile(rf"{_CHUNKS}/gathered-(\d{{6,}})-\w+\.parquet")
_MONTH = re.compile(r"[0-9]{1,4}-[0-9]{2}")
_FILES_AT_ONCE = 2_000
"""Small files fetched together, and held in memory together."""
_ROUNDS = 20
"""Of reading it all: each that fails means that another process has moved records meanwhile."""


def finished(records: Mapping[ChunkKey, ChunkRecord], skip_bad_scenes: int = 0) -> Iterator[tuple[ChunkKey, str]]:
    """Chunks that were built with at most so many scenes left out, each with the hash of what from."""
    return ((key, record.inputs) for key, record in records.items() if record.is_built(skip_bad_scenes))


class Ledger:
    """Records beside one store. Safe for many writers of different chunks, and for several that gather and compact.

    Parameters
    ----------
    place : Place
        Folder beside the store.
    fence : Fence, optional
        Asked before each record is written, gathered or compacted.
    """

    def __init__(self, place: Place, fence: Fence | None = None) -> None:
        self.place = place
        self._fence = fence

    @classmethod
    def beside(cls, store: Place) -> Ledger:
        """The ledger of a store."""
        return cls(store.beside(SUFFIX))

    @classmethod
    def at(cls, uri: str, options: Options | None = None, holder: str = "") -> Ledger:
        """The ledger in a folder; with the id of a claim, writable only while that counts."""
        return cls(Place.at(uri, options), fence_of(uri, options, holder))

    def held_by(self, holder: str) -> Ledger:
        """The same, writable only while the claim with this id counts."""
        return Ledger(self.place, Fence(self.place, holder))

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
            cube: dict[str, Any] = json.loads(content)
            _check_cube(cube)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreError(
                f"{self.place.uri}/{_CUBE} is damaged ({error}); restore it, or remove the cube by hand"
            ) from error
        return cube

    def write_cube(self, cube: Mapping[str, Any]) -> None:
        """Replace `cube.json`."""
        self.place.write(_CUBE, json.dumps(cube, indent=1).encode())

    def read(self, key: ChunkKey) -> ChunkRecord | None:
        """The record of a chunk that was not compacted, or None. A damaged one counts as none."""
        with explained(self.place.uri):
            content = self.place.read(key.path)
        return None if content is None else lenient(content)

    def read_each(self, keys: Iterable[ChunkKey]) -> dict[ChunkKey, ChunkRecord]:
        """Records of chunks that were not compacted; those that have none are left out."""
        return {record.key: record for record, _ in self._files([key.path for key in keys])}

    def write(self, record: ChunkRecord) -> None:
        """Replace the record of a chunk, in one piece.

        Raises
        ------
        LeaseLostError
            If the run that this is for no longer holds the cube.
        UnwritableError, TransientError
            If the place does not take it, for good or for now.
        """
        self._check()
        with explained(self.place.uri):
            self.place.write(record.key.path, record.to_json())

    def records(self, *, brief: bool = False) -> dict[ChunkKey, ChunkRecord]:
        """All records, the newest of each chunk.

        Parameters
        ----------
        brief : bool
            Without statistics, seconds and bytes, which take most of the memory: 100,000 records are then about 50 MB.

        Raises
        ------
        TransientError
            If other processes move records all the time.
        """
        for _ in range(_ROUNDS):
            before, names = self._moved(), self._names()
            found = newest_of_each(self._newest_first(names), brief=brief)
            if self._moved() == before:
                return found  # else another process took records from where they were not read yet to where it was over
        raise TransientError(f"{self.place.uri} is changed all the time; run again")

    def gather(self, records: Collection[ChunkRecord]) -> None:
        """Put records that a run holds already into one file, and drop their own ones, while the run goes on.

        So a run of very many chunks that is killed leaves few files to read. Records of failed chunks are left out:
        they keep their file, where the next attempt looks for the ones before. Only for records whose chunks nobody
        builds any more.
        """
        done = [record for record in records if record.status in DONE]
        if not done:
            return
        self._check()
        number = max(self._names().numbers, default=0) + 1
        # The suffix keeps a second run that should not be there from replacing this one's file.
        name = f"{_CHUNKS}/gathered-{number:06d}-{uuid.uuid4().hex[:8]}.parquet"
        with explained(self.place.uri):
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
        self._check()
        for _ in range(_ROUNDS):
            names = self._names()
            found: dict[ChunkKey, ChunkRecord] = {}
            if not names.files and not names.parts:
                return known or self.records(brief=True)
            table: list[bytes | None] = []
            content = to_parquet(rows_of_newest(self._newest_first(names, table), found))
            with explained(self.place.uri):
                # Of two that compact at once, the later one has to take in what the earlier one has written.
                if exchange(self.place, _TABLE, table[0], content):
                    break
        else:
            raise TransientError(f"{self.place.uri}/{_TABLE} is changed all the time; run again")
        # What is removed was read above: a file that came since then stays.
        single = {record.key.path for record in found.values() if record.status in DONE}.intersection(names.files)
        with explained(self.place.uri):
            self.place.remove([*sorted(single), *names.parts])
        return dict(sorted(found.items(), key=by_name))

    def _check(self) -> None:
        if self._fence is not None:
            self._fence.check()

    def _names(self) -> _Names:
        return _Names.of(self.place.list(_CHUNKS))

    def _moved(self) -> tuple[frozenset[str], object]:
        """Something else after records were moved: the parts, and which table there is."""
        parts = frozenset(name for name in self.place.list_files(_CHUNKS) if _PART.fullmatch(name))
        return parts, self.place.stamp(_TABLE)

    def _newest_first(self, names: _Names, table: list[bytes | None] | None = None) -> Iterator[Entry]:
        """Every record, some twice: of single files, of gathered ones, of the table, whose content `table` gets.

        In this order, since it is the one in which records move: what is no longer here is there.
        """
        yield from self._files(names.files)
        for name in (*reversed(names.parts), _TABLE):
            with explained(self.place.uri):
                content = self.place.read(name)
            if name == _TABLE and table is not None:
                table.append(content)
            if content is not None:
                try:
                    yield from entries(records_in(content))
                except StoreError as error:
                    raise StoreError(
                        f"{self.place.uri}/{name} is damaged ({error}); restore it, or remove it: its chunks are then "
                        "built again"
                    ) from error

    def _files(self, names: Sequence[str]) -> Iterator[Entry]:
        for start in range(0, len(names), _FILES_AT_ONCE):
            with explained(self.place.uri):
                contents = self.place.read_many(names[start : start + _FILES_AT_ONCE])
            yield from entries(contents.values())


def _check_cube(cube: Any) -> None:
    """Refuse a `cube.json` that would fail far from here."""
    if not isinstance(cube, dict) or not isinstance(cube["identity"], dict):
        raise ValueError("no identity")
    if not isinstance(cube["identity"]["varname"], str) or not _MONTH.fullmatch(cube["end"]):
        raise ValueError("no variable or no end")
    if not abs(float(cube["offset"])) < 1 or not isinstance(cube.get("lengthened", []), list):
        raise ValueError("another offset or other periods than a cube has")
    known = {digest(cube["identity"]), digest({"shard": 1} | cube["identity"])}  # there was a time before shards
    if cube.get("fingerprint", digest(cube["identity"])) not in known:
        raise ValueError("its identity is not the one of its fingerprint")


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
