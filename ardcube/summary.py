"""What a run did, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ardcube.errors import PermanentError
from ardcube.ledger import DONE, ChunkRecord
from ardcube.plan import ChunkJob, ChunkKey


@dataclass(frozen=True, slots=True)
class Failure:
    """A chunk that is missing from the cube."""

    chunk: str
    attempts: int
    error: str


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
    """
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    scenes: set[str] = set()
    for job in selected:
        record = records.get(job.key)
        counts["selected"] += 1
        counts["retried"] += record is not None and len(record.attempts) > 1
        if record is None or not record.is_done(job):
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
    )


def _failure(job: ChunkJob, record: ChunkRecord | None) -> Failure:
    told = record.error if record is not None and record.status not in DONE else None
    attempts = len(record.attempts) if record is not None else 0
    return Failure(str(job.key), attempts, told or "its worker was lost before it could say why")
