"""What a run's chunks took, counted as they end, in little memory: seconds by stage, bytes, attempts (pure)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ardcube.ledger.record import ChunkRecord

MOST_RECOVERED = 100
"""Chunks of which the errors are kept that a further attempt got over."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A chunk that was built at last."""

    chunk: str
    attempts: int
    error: str
    """Of the last attempt that failed."""


@dataclass(slots=True)
class Tally:
    """Sums over the chunks of one run, from their records."""

    ended: Counter[str] = field(default_factory=Counter)
    """Chunks by how they ended: written, empty, failed."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of work, by stage."""
    byte_counts: Counter[str] = field(default_factory=Counter)
    """Decoded bytes read, bytes of pixels written."""
    work_seconds: float = 0.0
    """Of all attempts of this run; each keeps one thread of a worker busy."""
    attempts: int = 0
    retried: int = 0
    """Chunks that took more than one attempt in this run."""
    recovered: list[Recovered] = field(default_factory=list)
    """Of these, chunks that were built at last, the first ones."""

    def add(self, record: ChunkRecord | None, attempts_before: int = 0) -> None:
        """Count a chunk.

        Parameters
        ----------
        record : ChunkRecord or None
            Without one its worker was lost.
        attempts_before : int
            Attempts of earlier runs, which its record lists too.
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
        """Hours of work, a thread of a worker counted as a core."""
        return self.work_seconds / 3600
