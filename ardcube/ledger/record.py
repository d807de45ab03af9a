"""The record of one chunk: its status, inputs and attempts, as a small JSON document."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from ardcube.errors import StoreError
from ardcube.planning.jobs import ChunkJob, ChunkKey

Status = Literal["written", "empty", "failed"]
DONE: tuple[Status, ...] = ("written", "empty")
"""Status of chunks that are finished."""
NO_VALUES: Mapping[str, Any] = {}
"""The empty mapping that records share."""
_PERIOD = re.compile(r"[0-9]{1,4}-[0-9]{2}(-[0-9]{2})?")
"""Form of a period; strict, because the period is part of a file name."""
_LARGEST_NUMBER = sys.float_info.max
_FIRST_ATTEMPTS = 3
"""Attempts at the beginning of a chunk's history that its record keeps."""
_LAST_ATTEMPTS = 21
"""Attempts at the end of a chunk's history that its record keeps: as many as one run makes at most."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to build a chunk."""

    started: str
    """Time in UTC, ISO 8601."""
    host: str
    seconds: float
    error: str | None = None
    """Type and message of the error; None after success."""
    permanent: bool = False
    """Whether the error is permanent."""
    bad_scenes: Mapping[str, str] = field(default_factory=dict)
    """Problem by id of each scene that caused the error."""

    @property
    def kind(self) -> str:
        """Type of the error, such as ``SceneError``; empty after success."""
        return (self.error or "").partition(": ")[0]

    @property
    def problem(self) -> str:
        """Message of the error without its type; empty after success."""
        kind, _, message = (self.error or "").partition(": ")
        return message or kind


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """State of one chunk."""

    key: ChunkKey
    status: Status
    inputs: str
    """Hash of the scenes and the period that the chunk was built from."""
    attempts: tuple[Attempt, ...]
    """The first and the last attempts; `omitted_attempts` says how many are not listed between them."""
    scenes: tuple[str, ...] = ()
    """Ids of the items in the composite."""
    statistics: Mapping[str, float] = field(default_factory=dict)
    """Numbers of observations and of pixels, clear observations per pixel (mean), share of observed pixels; numbers of
    pixels that composites count, if they are not 0. Of the last attempt `cpu_seconds`, `requests` and `objects`; a
    missing one is unknown."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage."""
    byte_counts: Mapping[str, int] = field(default_factory=dict)
    """Bytes of blocks read from files, and of pixels written, by `read` and `written`. Of the last attempt, bytes of
    all its requests and of its objects, by `received` and `stored`; a missing one is unknown."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Reason by id of each item that was skipped because it cannot be read."""
    omitted_attempts: int = 0
    """Attempts that are counted and not listed, so that the record of a chunk that always fails stays small."""
    kept: bool = False
    """Whether the chunk failed, and the store has the pixels of an earlier build."""

    @property
    def has_pixels(self) -> bool:
        """Whether the store has pixels of the chunk, of this build or of an earlier one."""
        return self.kept or self.status in DONE

    @property
    def attempt_count(self) -> int:
        """Number of attempts, listed or not."""
        return len(self.attempts) + self.omitted_attempts

    @property
    def error(self) -> str | None:
        """Error of the last attempt."""
        return self.attempts[-1].error if self.attempts else None

    @property
    def failure(self) -> Attempt | None:
        """Last attempt of a chunk that failed; None for other chunks."""
        return self.attempts[-1] if self.status == "failed" and self.attempts else None

    @property
    def failed_permanently(self) -> bool:
        """Whether the last attempt ended in a permanent error."""
        return self.status == "failed" and bool(self.attempts) and self.attempts[-1].permanent

    @property
    def written_as(self) -> tuple[str | int, ...]:
        """A value that changes whenever the pixels of the chunk are written."""
        last = self.attempts[-1].started if self.attempts else ""
        return self.inputs, self.status, self.attempt_count, last

    def after(self, before: ChunkRecord | None, attempt: Attempt) -> ChunkRecord:
        """Return the record with the attempts of an earlier record of the chunk, and one more."""
        earlier, omitted = ((), 0) if before is None else (before.attempts, before.omitted_attempts)
        return replace(self, attempts=(*earlier, attempt), omitted_attempts=omitted).bounded()

    def bounded(self) -> ChunkRecord:
        """Return the record with its first and last attempts only, or the record itself if it has few."""
        more = len(self.attempts) - _FIRST_ATTEMPTS - _LAST_ATTEMPTS
        if more <= 0:
            return self
        kept = (*self.attempts[:_FIRST_ATTEMPTS], *self.attempts[-_LAST_ATTEMPTS:])
        return replace(self, attempts=kept, omitted_attempts=self.omitted_attempts + more)

    def is_done(self, job: ChunkJob, skip_bad_scenes: int = 0) -> bool:
        """Return whether the chunk is built from the inputs of the job, with at most so many scenes skipped."""
        return self.is_built(skip_bad_scenes) and self.inputs == job.inputs

    def is_built(self, skip_bad_scenes: int = 0) -> bool:
        """Return whether the chunk is in the store, with at most so many scenes skipped."""
        return self.status in DONE and len(self.skipped) <= skip_bad_scenes

    def to_json(self) -> bytes:
        """Return the document of the record."""
        # Not `asdict`, which copies every value, because a cube has very many records.
        values = _values(self)
        values["key"] = _values(self.key)
        values["attempts"] = [_without_empty(_values(attempt), "bad_scenes") for attempt in self.attempts]
        values = _without_empty(values, "skipped", "omitted_attempts", "kept")
        return json.dumps(values).encode()

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Parse the document of a record.

        Raises
        ------
        StoreError
            If the document is not a record.
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
            reason = " ".join(str(error).split())[:200]
            raise StoreError(f"not a chunk record ({reason}): {content[:80]!r}") from error

    def _check_types(self) -> None:
        """Raise ValueError or TypeError for a field of another type or range, before it is used far from here."""
        if not (is_period(self.key.period) and all(_is_count(number) for number in (self.key.row, self.key.col))):
            raise ValueError(
                f"no chunk has the key {self.key.period!r:.40}, {self.key.row!r:.40}, {self.key.col!r:.40}"
            )
        texts = [self.inputs, *self.scenes]
        texts += (*self.skipped, *self.skipped.values())
        numbers: list[float] = []
        for attempt in self.attempts:
            texts += (attempt.started, attempt.host, "" if attempt.error is None else attempt.error)
            texts += (*attempt.bad_scenes, *attempt.bad_scenes.values())
            numbers.append(attempt.seconds)
            if type(attempt.permanent) is not bool:
                raise TypeError("permanent is neither true nor false")
        for measured in (self.statistics, self.seconds, self.byte_counts):
            numbers += measured.values()
        if not (all(type(text) is str for text in texts) and all(type(number) in (int, float) for number in numbers)):
            raise TypeError("a field has another type than in a record")
        if not all(abs(number) <= _LARGEST_NUMBER for number in numbers):
            raise ValueError("a number is not finite")
        "".join(texts).encode()  # raises for a lone surrogate: valid in JSON, not in the table
        if not _is_count(self.omitted_attempts):
            raise ValueError(f"{self.omitted_attempts!r:.40} attempts are omitted")
        if self.status not in (*DONE, "failed"):
            raise ValueError(f"unknown status {self.status}")
        if type(self.kept) is not bool or (self.kept and self.status in DONE):
            raise ValueError(f"a chunk that is {self.status} is not kept: {self.kept!r:.40}")


def is_period(label: str) -> bool:
    """Return whether a label has the form of a period."""
    return _PERIOD.fullmatch(label) is not None


def _is_count(number: int) -> bool:
    return type(number) is int and 0 <= number < 2**31


def _without_empty(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return values without the named ones that are empty, because earlier versions do not know these fields."""
    return {name: value for name, value in values.items() if value or name not in names}


def _values(of: ChunkRecord | ChunkKey | Attempt) -> dict[str, Any]:
    """Return the values by field, not copied."""
    return {name: getattr(of, name) for name in of.__slots__}
