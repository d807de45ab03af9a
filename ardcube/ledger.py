"""The truth about every chunk, beside the store: what was built, from what, and what went wrong."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import pandas

from ardcube.errors import StoreError
from ardcube.plan import ChunkJob, ChunkKey
from ardcube.storage import Options, Place

SUFFIX = ".ardcube"
"""A ledger's folder is the store's name with this."""
_TABLE = "ledger.parquet"
_CUBE = "cube.json"

Status = Literal["written", "empty", "failed"]
DONE: tuple[Status, ...] = ("written", "empty")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a chunk."""

    started: str
    """UTC, ISO 8601."""
    host: str
    seconds: float
    error: str | None = None
    """Kind and message, or None where it went well."""
    permanent: bool = False
    """Whether another try would end the same way."""


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What became of one chunk."""

    key: ChunkKey
    status: Status
    inputs: str
    """Hash of what it was built from."""
    attempts: tuple[Attempt, ...]
    scenes: tuple[str, ...] = ()
    """Ids of the items that meet it."""
    statistics: Mapping[str, float] = field(default_factory=dict)
    """Observations: days, mean clear days per pixel, share of pixels observed."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage."""
    byte_counts: Mapping[str, int] = field(default_factory=dict)
    """Decoded bytes read, bytes of pixels written."""

    @property
    def error(self) -> str | None:
        """Message of the last attempt."""
        return self.attempts[-1].error if self.attempts else None

    @property
    def failed_for_good(self) -> bool:
        """Whether the last attempt ended in a permanent error."""
        return self.status == "failed" and self.attempts[-1].permanent

    def is_done(self, job: ChunkJob) -> bool:
        """Whether it holds what the job would build."""
        return self.status in DONE and self.inputs == job.inputs

    def to_json(self) -> bytes:
        """As written to its file."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read a record.

        Raises
        ------
        StoreError
            If it is not one.
        """
        try:
            values = json.loads(content)
            values["key"] = ChunkKey(**values["key"])
            values["attempts"] = tuple(Attempt(**attempt) for attempt in values["attempts"])
            values["scenes"] = tuple(values["scenes"])
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"not a chunk record ({error}): {content[:80]!r}") from error


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
        return None if content is None else _lenient(content)

    def write(self, record: ChunkRecord) -> None:
        """Replace the record of a chunk, in one piece."""
        self.place.write(record.key.path, record.to_json())

    def records(self) -> dict[ChunkKey, ChunkRecord]:
        """All records: the table's, and newer single ones."""
        found = self._table() | self._single(self._single_names())
        return dict(sorted(found.items(), key=lambda entry: str(entry[0])))

    def compact(self) -> dict[ChunkKey, ChunkRecord]:
        """Gather all records in one table, drop the single files of finished chunks, and return the records.

        Failed chunks keep their file, so that the next attempt sees the ones before.
        """
        names = self._single_names()
        single = self._single(names)
        found = dict(sorted((self._table() | single).items(), key=lambda entry: str(entry[0])))
        if single:
            self.place.write(_TABLE, _to_table(found.values()))
            self.place.remove(record.key.path for record in single.values() if record.status in DONE)
        return found

    def _single_names(self) -> list[str]:
        return [name for name in self.place.list("chunks") if name.endswith(".json")]

    def _single(self, names: Iterable[str]) -> dict[ChunkKey, ChunkRecord]:
        contents = self.place.read_many(names)
        return {record.key: record for record in map(_lenient, contents.values()) if record is not None}

    def _table(self) -> dict[ChunkKey, ChunkRecord]:
        content = self.place.read(_TABLE)
        if content is None:
            return {}
        rows = pandas.read_parquet(io.BytesIO(content), columns=["record"])["record"]
        return {record.key: record for record in map(_lenient, rows) if record is not None}


def _lenient(content: bytes | str) -> ChunkRecord | None:
    """A record, or None for one that cannot be read: its chunk is then simply built again."""
    try:
        return ChunkRecord.from_json(content)
    except StoreError as error:
        logger.warning("ignored %s", error)
        return None


def _to_table(records: Iterable[ChunkRecord]) -> bytes:
    """Parquet with the columns one would query, and each record whole."""
    rows = [
        {
            "key": str(record.key),
            "period": record.key.period,
            "row": record.key.row,
            "col": record.key.col,
            "status": record.status,
            "attempts": len(record.attempts),
            "error": record.error,
            "scenes": len(record.scenes),
            "seconds": float(sum(record.seconds.values())),
            "record": record.to_json().decode(),
        }
        for record in records
    ]
    buffer = io.BytesIO()
    pandas.DataFrame(rows).to_parquet(buffer, index=False)
    return buffer.getvalue()
