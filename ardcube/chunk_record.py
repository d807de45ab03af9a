"""What became of one chunk, as it is kept: a small JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ardcube.errors import StoreError
from ardcube.plan import ChunkJob, ChunkKey

Status = Literal["written", "empty", "failed"]
DONE: tuple[Status, ...] = ("written", "empty")


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
        return self.status == "failed" and bool(self.attempts) and self.attempts[-1].permanent

    def is_done(self, job: ChunkJob) -> bool:
        """Whether it holds what the job would build."""
        return self.status in DONE and self.inputs == job.inputs

    def to_json(self) -> bytes:
        """As written to its file."""
        # Not `asdict`, which copies all of it: there is one record per chunk.
        values = _values(self)
        values["key"] = _values(self.key)
        values["attempts"] = [_values(attempt) for attempt in self.attempts]
        return json.dumps(values).encode()

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read a record.

        Raises
        ------
        StoreError
            If it is not one.
        """
        try:
            values = json.loads(content if isinstance(content, str) else content.decode())
            values["key"] = ChunkKey(**values["key"])
            values["attempts"] = tuple(Attempt(**attempt) for attempt in values["attempts"])
            values["scenes"] = tuple(values["scenes"])
            record = cls(**values)
            record._check_types()
            return record
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"not a chunk record ({error}): {content[:80]!r}") from error

    def _check_types(self) -> None:
        """Refuse what somebody's editor made of a record, where it would fail far from here."""
        texts = [self.key.period, self.inputs, *self.scenes]
        numbers: list[float] = [self.key.row, self.key.col]
        for attempt in self.attempts:
            texts += (attempt.started, attempt.host, attempt.error or "")
            numbers.append(attempt.seconds)
        for measured in (self.statistics, self.seconds, self.byte_counts):
            numbers += measured.values()
        if not (all(type(text) is str for text in texts) and all(type(number) in (int, float) for number in numbers)):
            raise TypeError("a field is of another type")
        if self.status not in (*DONE, "failed"):
            raise ValueError(f"unknown status {self.status}")


def _values(of: ChunkRecord | ChunkKey | Attempt) -> dict[str, Any]:
    """Fields and their values, nothing copied."""
    return {name: getattr(of, name) for name in of.__slots__}
