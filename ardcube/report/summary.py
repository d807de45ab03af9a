"""Count the outcome of a run: chunks by status, causes of failures, skipped scenes, empty periods (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ardcube.errors import PermanentError
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.cost.run_cost import RunCost
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubePlan
from ardcube.report.causes import LOSS, LOST_WORKER, Cause, CauseCounter
from ardcube.report.empty_periods import NO_PERIODS, EmptyPeriods
from ardcube.report.wording import count_of, first_of, short

_MOST_IN_MESSAGE = 3
"""Causes or scenes that the message of a run names."""


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
class CubeOutcome:
    """One of several cubes that a run builds."""

    name: str
    summary: BuildSummary | None
    """None if the cube was not built."""
    error: str = ""
    """Why chunks of the cube are missing, or why it was not built; empty if it is complete."""


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
    """Chunks that were not done before the run, and that it left for another one: by `limit`, or as a retry does."""
    retried: int
    """Chunks with more than one attempt."""
    scenes: int
    """Scenes in the composites of the built chunks."""
    megapixels: float
    """Millions of pixels of the built chunks, bands not counted."""
    seconds: float
    failures: tuple[Failure, ...] = ()
    """Each chunk that is missing."""
    causes: tuple[Cause, ...] = ()
    """Causes of the failures, most chunks first."""
    left_out: tuple[LeftOut, ...] = ()
    """Scenes that this run or an earlier one skipped because they cannot be read."""
    empty_periods: EmptyPeriods = NO_PERIODS
    """Periods of the cube without a scene, or without a clear pixel."""
    cubes: tuple[CubeOutcome, ...] = ()
    """The cubes of a run with `each`; all counts are their sums, but a scene in several cubes counts once."""
    report: str | None = None
    """Address of the report page, if the run wrote one."""
    scene_ids: frozenset[str] = field(default=frozenset(), repr=False)
    """Ids of these scenes, so that several cubes count a scene once."""
    cost: RunCost | None = None
    """Counted cost of the run next to its estimate; None if nothing was built or nothing was estimated."""

    def with_level(self, level: int, jobs: Iterable[ChunkJob], records: Mapping[ChunkKey, ChunkRecord]) -> BuildSummary:
        """Return the summary with the chunks of a level of the pyramid that are missing.

        Parameters
        ----------
        level : int
            Level, 1 or more.
        jobs : iterable of ChunkJob
            Chunks of the level that the run tried to build.
        records : mapping
            Records of the level after the run.
        """
        failures, causes = [], CauseCounter()
        for job in jobs:
            record = records.get(job.key)
            if record is None or not record.is_done(job):
                failure = _failure(job, record)
                failures.append(replace(failure, chunk=f"{failure.chunk} of level {level}"))
                causes.add(job.key, record.failure if record is not None else None)
        return replace(
            self,
            failed=self.failed + len(failures),
            failures=(*self.failures, *failures),
            causes=(*self.causes, *causes.causes()),
        )

    @property
    def megapixels_per_second(self) -> float:
        """Megapixels per second of the run."""
        return self.megapixels / self.seconds if self.seconds > 0 else 0.0

    @property
    def message(self) -> str:
        """Return the outcome in one line: for the state of a run, and for notifications."""
        if any(cube.error for cube in self.cubes):
            return "; ".join(self._failed_cubes())
        cubes = [count_of(len(self.cubes), "cube")] if self.cubes else []
        return "; ".join([*cubes, *(self._failed_parts() if self.failed else self._complete_parts())])

    def _failed_cubes(self) -> list[str]:
        failed = [f"{cube.name} ({cube.error})" for cube in self.cubes if cube.error]
        total = count_of(len(self.cubes), "cube")
        return [
            f"{len(failed)} of {total} failed: {first_of(failed, _MOST_IN_MESSAGE, '; ')}",
            "run again to build only the missing chunks",
        ]

    def _failed_parts(self) -> list[str]:
        causes = [f"{cause} ({count_of(cause.chunks, 'chunk')})" for cause in self.causes]
        named = first_of(causes, _MOST_IN_MESSAGE, "; ")
        remedies = dict.fromkeys(cause.remedy for cause in self.causes if cause.remedy)
        total = count_of(self.chunks, "chunk")
        # Not of chunks that lost pixels alone: the same run would refuse them again, and their message says what to do.
        again = [] if all(cause.kind == LOSS for cause in self.causes) else ["run again to build only these"]
        return [f"{self.failed} of {total} failed: {named}", *remedies, *again]

    def _complete_parts(self) -> list[str]:
        counts = (
            (self.written, "written"),
            (self.empty, "empty"),
            (self.already_done, "done before"),
            (self.left, "left"),
        )
        named = ", ".join(f"{count} {name}" for count, name in counts if count)
        parts = [f"{count_of(self.chunks, 'chunk')}: {named}"]
        if self.left_out:
            scenes = [f"{row.scene} ({count_of(row.chunks, 'chunk')}, {short(row.reason)})" for row in self.left_out]
            parts.append(f"{count_of(len(scenes), 'scene')} left out: {first_of(scenes, _MOST_IN_MESSAGE, '; ')}")
        return [*parts, *self.empty_periods.messages()]


class ChunksFailedError(PermanentError):
    """Some chunks could not be built; all others were."""

    def __init__(self, summary: BuildSummary) -> None:
        super().__init__(summary.message)
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
    causes = CauseCounter()
    scenes: set[str] = set()
    for job in scope.selected:
        record = records.get(job.key)
        counts["selected"] += 1
        counts["retried"] += record is not None and record.attempt_count > 1
        if record is None or not record.is_done(job, skip_bad_scenes):
            failures.append(_failure(job, record))
            causes.add(job.key, record.failure if record is not None else None)
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
        scene_ids=frozenset(scenes),
        megapixels=counts["pixels"] / 1e6,
        seconds=seconds,
        failures=tuple(failures),
        causes=causes.causes(),
        left_out=left_out(records.values()),
        empty_periods=EmptyPeriods.of(records.values()),
    )


def summarize_plan(scope: RunScope, plan: CubePlan, seconds: float) -> BuildSummary:
    """Return the summary of a dry run: all pending chunks are left, and periods without a scene are known."""
    return replace(summarize(scope, {}, seconds), empty_periods=EmptyPeriods.planned(plan))


def add_up(uri: str, cubes: Sequence[CubeOutcome], seconds: float) -> BuildSummary:
    """Return the summary of several cubes.

    Parameters
    ----------
    uri : str
        Folder of the cubes.
    cubes : sequence of CubeOutcome
        The cubes.
    seconds : float
        Duration of the run.
    """
    built = [cube.summary for cube in cubes if cube.summary is not None]
    scenes = frozenset[str]().union(*(one.scene_ids for one in built))
    return BuildSummary(
        uri=uri,
        chunks=sum(one.chunks for one in built),
        already_done=sum(one.already_done for one in built),
        written=sum(one.written for one in built),
        empty=sum(one.empty for one in built),
        failed=sum(one.failed for one in built),
        left=sum(one.left for one in built),
        retried=sum(one.retried for one in built),
        scenes=len(scenes),
        scene_ids=scenes,
        megapixels=sum(one.megapixels for one in built),
        seconds=seconds,
        cubes=tuple(cubes),
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
    if record is None:
        return Failure(str(job.key), 0, LOST_WORKER)
    attempt = record.failure
    return Failure(str(job.key), record.attempt_count, (attempt and attempt.error) or LOST_WORKER)
