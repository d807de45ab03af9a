"""What became of one chunk, as it is kept: a small JSON document."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ardcube.errors import StoreError
from ardcube.plan.jobs import ChunkJob, ChunkKey

Status = Literal["written", "empty", "failed"]
DONE: tuple[Status, ...] = ("written", "empty")
_PERIOD = re.compile(r"[0-9]{1,4}-[0-9]{2}")
"""Nothing else, since it becomes a part of a file's name."""
_MOST = sys.float_info.max


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
    """Ids of the items that it was made of."""
    statistics: Mapping[str, float] = field(default_factory=dict)
    """Observations: days, mean clear days per pixel, share of pixels observed."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage."""
    byte_counts: Mapping[str, int] = field(default_factory=dict)
    """Decoded bytes read, bytes of pixels written."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Ids of the items that meet it, could not be read, and were left out; and why."""

    @property
    def error(self) -> str | None:
        """Message of the last attempt."""
        return self.attempts[-1].error if self.attempts else None

    @property
    def failed_for_good(self) -> bool:
        """Whether the last attempt ended in a permanent error."""
        return self.status == "failed" and bool(self.attempts) and self.attempts[-1].permanent

    def is_done(self, job: ChunkJob, skip_bad_scenes: int = 0) -> bool:
        """Whether it holds what the job would build, with at most so many scenes left out."""
        return self.is_built(skip_bad_scenes) and self.inputs == job.inputs

    def is_built(self, skip_bad_scenes: int = 0) -> bool:
        """Whether it stands in the store, with at most so many scenes left out."""
        return self.status in DONE and len(self.skipped) <= skip_bad_scenes

    def to_json(self) -> bytes:
        """As written to its file."""
        # Not `asdict`, which copies all of it: there is one record per chunk.
        values = _values(self)
        values["key"] = _values(self.key)
        values["attempts"] = [_values(attempt) for attempt in self.attempts]
        if not self.skipped:
            del values["skipped"]  # so that earlier versions read it too
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
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            told = " ".join(str(error).split())[:200]
            raise StoreError(f"not a chunk record ({told}): {content[:80]!r}") from error

    def _check_types(self) -> None:
        """Refuse what somebody's editor made of a record, where it would fail far from here."""
        if not (
            _PERIOD.fullmatch(self.key.period) and all(_is_count(number) for number in (self.key.row, self.key.col))
        ):
            raise ValueError(
                f"no chunk has the key {self.key.period!r:.40}, {self.key.row!r:.40}, {self.key.col!r:.40}"
            )
        texts = [self.inputs, *self.scenes]
        texts += (*self.skipped, *self.skipped.values())
        numbers: list[float] = []
        for attempt in self.attempts:
            texts += (attempt.started, attempt.host, "" if attempt.error is None else attempt.error)
            numbers.append(attempt.seconds)
            if type(attempt.permanent) is not bool:
                raise TypeError("permanent is neither true nor false")
        for measured in (self.statistics, self.seconds, self.byte_counts):
            numbers += measured.values()
        if not (all(type(text) is str for text in texts) and all(type(number) in (int, float) for number in numbers)):
            raise TypeError("a field is of another type")
        if not all(abs(number) <= _MOST for number in numbers):
            raise ValueError("a number is none")
        "".join(texts).encode()  # a lone surrogate, which JSON can write, cannot be written to the table
        if self.status not in (*DONE, "failed"):
            raise ValueError(f"unknown status {self.status}")


def _is_count(number: int) -> bool:
    return type(number) is int and 0 <= number < 2**31


def _values(of: ChunkRecord | ChunkKey | Attempt) -> dict[str, Any]:
    """Fields and their values, nothing copied."""
    return {name: getattr(of, name) for name in of.__slots__}
