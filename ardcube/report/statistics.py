"""Sums over the chunks of a run, in little memory: seconds by stage, bytes, attempts (pure)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.run_costs import used_by
from ardcube.planning.cost.run_cost import UsedSum
from ardcube.planning.jobs import ChunkKey
from ardcube.report.causes import CauseCounter


@dataclass(slots=True)
class Tally:
    """Sums over the records of one run."""

    ended: Counter[str] = field(default_factory=Counter)
    """Chunks by status: written, empty, failed."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of work by stage."""
    used: UsedSum = field(default_factory=UsedSum)
    """Counted figures of the last attempts."""
    byte_counts: Counter[str] = field(default_factory=Counter)
    """Bytes read from files, and bytes of pixels written, by `read` and `written`."""
    work_seconds: float = 0.0
    """Seconds of all attempts of the run; an attempt occupies one thread of a worker."""
    attempts: int = 0
    retried: int = 0
    """Chunks with more than one attempt in this run."""
    failed: CauseCounter = field(default_factory=CauseCounter)
    """Causes of the chunks that failed."""
    recovered: CauseCounter = field(default_factory=CauseCounter)
    """Causes of the last failed attempts of chunks that were built after them."""

    def add(self, key: ChunkKey, record: ChunkRecord | None, attempts_before: int = 0) -> None:
        """Add a chunk to the sums.

        Parameters
        ----------
        key : ChunkKey
            The chunk.
        record : ChunkRecord or None
            Record of the chunk; None if its worker was lost.
        attempts_before : int
            Number of attempts in the record that belong to earlier runs.
        """
        self.ended[record.status if record is not None else "failed"] += 1
        if record is None or record.status == "failed":
            self.failed.add(key, record.failure if record is not None else None)
        if record is None:
            return
        self.used.add(used_by(record))
        made = record.attempt_count - attempts_before
        attempts = record.attempts[-made:] if made > 0 else ()
        self.attempts += len(attempts)
        self.work_seconds += sum(attempt.seconds for attempt in attempts)
        for stage, seconds in record.seconds.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        for name, count in record.byte_counts.items():
            self.byte_counts[name] += count
        if len(attempts) < 2:
            return
        self.retried += 1
        failed = next((attempt for attempt in reversed(attempts) if attempt.error), None)
        if record.status != "failed" and failed is not None:
            self.recovered.add(key, failed)

    @property
    def core_hours(self) -> float:
        """Hours of work; a thread of a worker counts as a core."""
        return self.work_seconds / 3600
