"""Count the outcome of a run: chunks by status, failures, skipped scenes (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ardcube.errors import PermanentError
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey


@dataclass(frozen=True, slots=True)
class Failure:
    """A chunk that is missing from the cube."""

    chunk: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A scene that was skipped in some chunks because it cannot be read."""

    scene: str
    chunks: int
    reason: str
    """Reason in the first of these chunks."""


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """Counts of one run."""

    uri: str
    chunks: int
    """Chunks of the whole cube."""
    already_done: int
    """Chunks that an earlier run had built from the same scenes."""
    written: int
    empty: int
    failed: int
    left: int
    """Chunks that `limit` left for another run."""
    retried: int
    """Chunks with more than one attempt."""
    scenes: int
    """Scenes in the composites of the built chunks."""
    megapixels: float
    """Millions of pixels of the built chunks, bands not counted."""
    seconds: float
    failures: tuple[Failure, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """Scenes that this run or an earlier one skipped because they cannot be read."""

    @property
    def megapixels_per_second(self) -> float:
        """Megapixels per second of the run."""
        return self.megapixels / self.seconds if self.seconds > 0 else 0.0


class ChunksFailedError(PermanentError):
    """Some chunks could not be built; all others were."""

    def __init__(self, summary: BuildSummary) -> None:
        first = summary.failures[0]
        super().__init__(
            f"{summary.failed} of {summary.chunks} chunks failed, the first is {first.chunk} ({first.error}); "
            "run again to build only these"
        )
        self.summary = summary


@dataclass(frozen=True, slots=True)
class RunScope:
    """The chunks that a run concerns."""

    uri: str
    """Address of the store."""
    chunks: int
    """Number of chunks of the whole cube."""
    pending: int
    """Number of chunks that were not done before the run."""
    selected: Iterable[ChunkJob] = ()
    """Chunks that the run tried to build."""


def summarize(
    scope: RunScope, records: Mapping[ChunkKey, ChunkRecord], seconds: float, skip_bad_scenes: int = 0
) -> BuildSummary:
    """Count the outcome of a run.

    Parameters
    ----------
    scope : RunScope
        Chunks of the run.
    records : mapping
        Records after the run.
    seconds : float
        Duration of the run.
    skip_bad_scenes : int
        Scenes that a chunk may skip.
    """
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    scenes: set[str] = set()
    for job in scope.selected:
        record = records.get(job.key)
        counts["selected"] += 1
        counts["retried"] += record is not None and len(record.attempts) > 1
        if record is None or not record.is_done(job, skip_bad_scenes):
            failures.append(_failure(job, record))
            continue
        counts[record.status] += 1
        counts["pixels"] += job.pixels
        scenes.update(record.scenes)
    return BuildSummary(
        uri=scope.uri,
        chunks=scope.chunks,
        already_done=scope.chunks - scope.pending,
        written=counts["written"],
        empty=counts["empty"],
        failed=len(failures),
        left=scope.pending - counts["selected"],
        retried=counts["retried"],
        scenes=len(scenes),
        megapixels=counts["pixels"] / 1e6,
        seconds=seconds,
        failures=tuple(failures),
        left_out=left_out(records.values()),
    )


def left_out(records: Iterable[ChunkRecord]) -> tuple[LeftOut, ...]:
    """Return the scenes that chunks in the store were built without, sorted by number of chunks."""
    chunks: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for record in records:
        chunks.update(record.skipped.keys())
        for scene, reason in record.skipped.items():
            reasons.setdefault(scene, reason)
    return tuple(LeftOut(scene, count, reasons[scene]) for scene, count in chunks.most_common())


def _failure(job: ChunkJob, record: ChunkRecord | None) -> Failure:
    error = record.error if record is not None and record.status not in DONE else None
    attempts = len(record.attempts) if record is not None else 0
    return Failure(str(job.key), attempts, error or "its worker was lost before it could record an error")
