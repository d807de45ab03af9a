"""Sums over the chunks of a run, in little memory: seconds by stage, bytes, attempts (pure)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ardcube.ledger.record import ChunkRecord

MOST_RECOVERED = 100
"""Recovered chunks whose errors are stored at most."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A chunk that was built after failed attempts."""

    chunk: str
    attempts: int
    error: str
    """Error of the last failed attempt."""


@dataclass(slots=True)
class Tally:
    """Sums over the records of one run."""

    ended: Counter[str] = field(default_factory=Counter)
    """Chunks by status: written, empty, failed."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of work by stage."""
    byte_counts: Counter[str] = field(default_factory=Counter)
    """Bytes read from files, and bytes of pixels written, by `read` and `written`."""
    work_seconds: float = 0.0
    """Seconds of all attempts of the run; an attempt occupies one thread of a worker."""
    attempts: int = 0
    retried: int = 0
    """Chunks with more than one attempt in this run."""
    recovered: list[Recovered] = field(default_factory=list)
    """The first chunks of these that were built."""

    def add(self, record: ChunkRecord | None, attempts_before: int = 0) -> None:
        """Add a chunk to the sums.

        Parameters
        ----------
        record : ChunkRecord or None
            Record of the chunk; None if its worker was lost.
        attempts_before : int
            Number of attempts in the record that belong to earlier runs.
        """
        self.ended[record.status if record is not None else "failed"] += 1
        if record is None:
            return
        attempts = record.attempts[attempts_before:]
        self.attempts += len(attempts)
        self.work_seconds += sum(attempt.seconds for attempt in attempts)
        for stage, seconds in record.seconds.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        for name, count in record.byte_counts.items():
            self.byte_counts[name] += count
        if len(attempts) < 2:
            return
        self.retried += 1
        if record.status != "failed" and len(self.recovered) < MOST_RECOVERED:
            error = next((attempt.error for attempt in reversed(attempts) if attempt.error), "")
            self.recovered.append(Recovered(str(record.key), len(attempts), error or ""))

    @property
    def core_hours(self) -> float:
        """Hours of work; a thread of a worker counts as a core."""
        return self.work_seconds / 3600
