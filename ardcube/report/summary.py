"""What a run did, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ardcube.errors import PermanentError
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.plan.jobs import ChunkJob, ChunkKey


@dataclass(frozen=True, slots=True)
class Failure:
    """A chunk that is missing from the cube."""

    chunk: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A scene that the cube does without, in some of its chunks."""

    scene: str
    chunks: int
    reason: str
    """Of the first of them."""


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
    """Chunks that took more than one attempt."""
    scenes: int
    """Scenes that the built chunks were made of."""
    megapixels: float
    """Of the built chunks, bands not counted."""
    seconds: float
    failures: tuple[Failure, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """Scenes that could not be read and that chunks were built without, by this run or an earlier one."""

    @property
    def megapixels_per_second(self) -> float:
        """Throughput of this run."""
        return self.megapixels / self.seconds if self.seconds > 0 else 0.0


class ChunksFailedError(PermanentError):
    """Some chunks could not be built; all others were."""

    def __init__(self, summary: BuildSummary) -> None:
        first = summary.failures[0]
        super().__init__(
            f"{summary.failed} of {summary.chunks} chunks failed, the first is {first.chunk} ({first.error}); "
            "run again to try just these"
        )
        self.summary = summary


def summarize(
    uri: str,
    planned: int,
    selected: Iterable[ChunkJob],
    pending: Sequence[ChunkJob],
    records: Mapping[ChunkKey, ChunkRecord],
    seconds: float,
    skip_bad_scenes: int = 0,
) -> BuildSummary:
    """Count what became of a run's chunks.

    Parameters
    ----------
    uri : str
        Of the store.
    planned : int
        Chunks of the whole cube.
    selected : iterable of ChunkJob
        What this run was to build.
    pending : sequence of ChunkJob
        All that was not done when it began.
    records : mapping
        The ledger when it ended.
    seconds : float
        It took.
    skip_bad_scenes : int
        Scenes that a chunk might go without.
    """
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    scenes: set[str] = set()
    for job in selected:
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
        uri=uri,
        chunks=planned,
        already_done=planned - len(pending),
        written=counts["written"],
        empty=counts["empty"],
        failed=len(failures),
        left=len(pending) - counts["selected"],
        retried=counts["retried"],
        scenes=len(scenes),
        megapixels=counts["pixels"] / 1e6,
        seconds=seconds,
        failures=tuple(failures),
        left_out=left_out(records.values()),
    )


def left_out(records: Iterable[ChunkRecord]) -> tuple[LeftOut, ...]:
    """Scenes that chunks which stand in the store were built without, those of most chunks first."""
    chunks: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for record in records:
        chunks.update(record.skipped.keys())
        for scene, reason in record.skipped.items():
            reasons.setdefault(scene, reason)
    return tuple(LeftOut(scene, count, reasons[scene]) for scene, count in chunks.most_common())


def _failure(job: ChunkJob, record: ChunkRecord | None) -> Failure:
    told = record.error if record is not None and record.status not in DONE else None
    attempts = len(record.attempts) if record is not None else 0
    return Failure(str(job.key), attempts, told or "its worker was lost before it could say why")
