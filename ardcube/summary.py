"""What a run did, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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
    pending: Iterable[ChunkJob],
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
    pending : iterable of ChunkJob
        All that was not done when it began.
    records : mapping
        The ledger when it ended.
    seconds : float
        It took.
    """
    jobs = list(selected)
    waiting = len(list(pending))
    ended = [(job, records.get(job.key)) for job in jobs]
    done = [(job, record) for job, record in ended if record is not None and record.is_done(job)]
    failures = tuple(
        Failure(
            str(job.key),
            len(record.attempts) if record is not None else 0,
            (record.error if record is not None and record.status not in DONE else None)
            or "its worker was lost before it could say why",
        )
        for job, record in ended
        if record is None or not record.is_done(job)
    )
    counts = Counter(record.status for _, record in done)
    return BuildSummary(
        uri=uri,
        chunks=planned,
        already_done=planned - waiting,
        written=counts["written"],
        empty=counts["empty"],
        failed=len(failures),
        left=waiting - len(jobs),
        retried=sum(record is not None and len(record.attempts) > 1 for _, record in ended),
        scenes=len({scene for _, record in done for scene in record.scenes}),
        megapixels=sum(job.pixels for job, _ in done) / 1e6,
        seconds=seconds,
        failures=failures,
    )
