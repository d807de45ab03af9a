"""Estimate the cost of the chunks of a plan (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.extent.window import Window
from ardcube.planning.cost.coefficients import Coefficients, coefficients_for
from ardcube.planning.cost.figures import QUANTITIES, Basis, Prices, Quantity, Range, Used, total_of
from ardcube.planning.cost.files import SampledScene
from ardcube.planning.cost.work import CASES, Case, Work, WorkModel, evenly
from ardcube.planning.jobs import ChunkJobs
from ardcube.planning.plan import CubePlan, CubeSpec

_MOST_SAMPLED = 200
"""Chunks whose work is computed; that of the others is in proportion to their scenes and pixels."""
_DRAWS = 100
"""Random choices of needed blocks, divided by the chunks whose work is computed."""
_SPREAD: Mapping[Quantity, float] = {
    "cpu_seconds": 0.6, "seconds": 0.8, "requests": 0.4, "received": 0.7, "stored": 0.3, "objects": 0.05,
}  # fmt: skip
"""Error of an estimate from coefficients, as a share: other machines, networks and landscapes than those measured."""
_SPREAD_OF_KNOWN_BLOCKS = 0.4
"""That of bytes to read if headers were read."""
_MEASURED_SPREAD = 0.1
"""Least error of an estimate from measured chunks, because other chunks and hours differ from them."""
_MOST_TASKS = 50
"""Chunks of a run that are tasks each; further ones share a task with others (0012)."""
_UNKNOWN_SPREAD = 0.5
"""Error if a single chunk was measured."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Scenes whose headers were read for an estimate."""

    scenes: Sequence[SampledScene] = field(default=(), repr=False)
    about: str = ""
    """Origin of the sizes of blocks, for people."""


NO_SAMPLES = Samples()


@dataclass(frozen=True, slots=True)
class Measured:
    """Chunks whose cost was counted, and their work."""

    basis: Basis
    about: str
    """Origin of the figures, for people."""
    works: Sequence[Mapping[Case, Work]] = field(repr=False)
    used: Sequence[Used] = field(repr=False)
    files: float
    """Different files of all these chunks that are expected to be read."""
    processes: int
    """Worker processes whose first chunk is one of these chunks."""
    samples: Samples = NO_SAMPLES
    """Scenes whose headers their work is computed with, and that of the plan."""


@dataclass(frozen=True, slots=True)
class Machines:
    """The workers of a run."""

    workers: int | None
    """None if unknown."""
    threads: int
    """Chunks that a worker builds at once."""

    def at_once(self, chunks: float) -> float | None:
        """Return the chunks in work at once; None if unknown."""
        return None if self.workers is None else max(1.0, min(self.workers * self.threads, chunks))


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The cost of building chunks: ranges of figures, and their basis."""

    chunks: int
    """Chunks that are not built yet."""
    square_km: float
    """Area of these chunks, each period counted."""
    cpu_seconds: Range
    core_seconds: Range
    """Seconds for which threads of workers are occupied; a thread counts as a core."""
    requests: Range
    """Requests to read."""
    bytes_to_read: Range
    cube_bytes: Range
    """Bytes of the objects that these chunks add to the store."""
    cube_objects: Range
    memory_per_worker: int
    """Bytes."""
    machines: Machines
    prices: Prices
    basis: Basis
    about: str
    """Origin of the figures, for people."""
    from_coefficients: tuple[Quantity, ...] = ()
    """Quantities that the measured chunks did not count, and that coefficients give."""
    headers: str = ""
    """Origin of the sizes of blocks, for people."""
    unknown_cover: float = 0.0
    """Share of the scenes that do not state their cloud cover."""

    @property
    def cpu_hours(self) -> Range:
        """CPU hours."""
        return self.cpu_seconds.times(1 / 3600)

    @property
    def core_hours(self) -> Range:
        """Core-hours."""
        return self.core_seconds.times(1 / 3600)

    @property
    def hours(self) -> Range | None:
        """Hours on the workers; None if their number is unknown."""
        at_once = self.machines.at_once(self.chunks)
        return None if at_once is None else self.core_hours.times(1 / at_once)

    @property
    def money_by_part(self) -> dict[str, Range | None]:
        """Money of core-hours, bytes and requests, as far as prices are known."""
        return self.prices.parts(self.core_hours, self.bytes_to_read, self.requests)

    @property
    def money(self) -> Range | None:
        """Sum of the money whose price is known; None without a price."""
        return total_of(self.money_by_part)

    def to_document(self) -> dict[str, object]:
        """Return the figures for a ledger: [low, likely, high] by name."""
        named = {
            "cpu_seconds": self.cpu_seconds, "core_seconds": self.core_seconds, "requests": self.requests,
            "bytes": self.bytes_to_read, "stored": self.cube_bytes, "objects": self.cube_objects,
        }  # fmt: skip
        figures = {name: [one.low, one.likely, one.high] for name, one in named.items()}
        return {"chunks": self.chunks, "basis": self.basis, "about": self.about, **figures}


def estimate_cost(
    plan: CubePlan,
    jobs: ChunkJobs,
    machines: Machines,
    memory_per_worker: int,
    prices: Prices,
    measured: Measured | None = None,
    samples: Samples = NO_SAMPLES,
    *,
    prefect: bool = True,
) -> CostEstimate:
    """Estimate the cost of some chunks of a plan.

    Parameters
    ----------
    plan : CubePlan
        Plan with its scenes.
    jobs : ChunkJobs
        Chunks to build.
    machines : Machines
        Workers of the run.
    memory_per_worker : int
        Bytes.
    prices : Prices
        Prices of the run.
    measured : Measured, optional
        Chunks whose cost corrects the coefficients.
    samples : Samples
        Scenes whose headers were read; measured chunks have theirs.
    prefect : bool
        Whether the chunks are task runs of Prefect.
    """
    samples = samples if measured is None else measured.samples
    scenes = _scenes_of(plan)
    coefficients = coefficients_for(plan.spec, scenes)
    works = _total_work(plan, jobs, coefficients, samples)
    opened = _opened(plan, works, machines, len(jobs))
    first = min(machines.workers or 1, len(jobs))
    # Measured chunks contain what Prefect took of their process.
    most_tasks = min(len(jobs), _MOST_TASKS) if prefect and measured is None else 0
    tasks = {"low": 0, "likely": most_tasks, "high": most_tasks}
    # The ratio of chunks that contain no start of a process says nothing about starts.
    others = first if measured is not None and not measured.processes else 0
    predicted = {
        case: coefficients.predict(_shared(works[case], opened[case], first - others, tasks[case])) for case in CASES
    }
    ratios = {} if measured is None else _ratios(measured, coefficients)
    spreads = {**_SPREAD, "received": _SPREAD_OF_KNOWN_BLOCKS} if samples.scenes else _SPREAD
    ranges = {
        quantity: _range(quantity, predicted, ratios.get(quantity, (1.0, spreads[quantity]))) for quantity in QUANTITIES
    }
    starts = coefficients.predict(Work(processes=others))
    ranges["cpu_seconds"] += Range.exactly(starts.cpu_seconds or 0.0)
    ranges["seconds"] += Range.exactly(starts.seconds or 0.0)
    about = coefficients.name if measured is None else measured.about
    return CostEstimate(
        chunks=len(jobs),
        square_km=jobs.pixels * square_km_of_pixel(plan),
        cpu_seconds=ranges["cpu_seconds"],
        core_seconds=ranges["seconds"],
        requests=ranges["requests"],
        bytes_to_read=ranges["received"],
        cube_bytes=ranges["stored"],
        cube_objects=ranges["objects"],
        memory_per_worker=memory_per_worker,
        machines=machines,
        prices=prices,
        basis="coefficients" if measured is None else measured.basis,
        about=about,
        from_coefficients=tuple(name for name in QUANTITIES if ratios and name not in ratios),
        headers=samples.about,
        unknown_cover=sum(scene.cloud_cover is None for scene in scenes) / max(1, len(scenes)),
    )


def _opened(plan: CubePlan, works: Mapping[Case, Work], machines: Machines, chunks: int) -> dict[Case, float]:
    """Return the number of files whose header is read, in each case of cloud cover.

    A process keeps headers. Those of remote files are stored in the ledger too, so that only the first chunks at once
    read them; an earlier run may have stored all of them.
    """
    files = {case: WorkModel.of(plan.spec, _scenes_of(plan), case, 1).files_of(_scenes_of(plan)) for case in CASES}
    at_once = machines.at_once(chunks) or 1.0
    likely = works["likely"].opened
    readers = float(machines.workers or 1)
    if is_remote(_first_address(plan)):
        # Chunks that are built at once are neighbours in a row of tiles.
        readers = min(readers, math.sqrt(max(1.0, likely / max(1.0, files["likely"]))))
        least = 0.0
    else:
        least = min(works["low"].opened, files["low"])
    most = min(works["high"].opened, files["high"] * max(1.0, at_once))
    return {"low": least, "likely": min(likely, files["likely"] * readers), "high": most}


def _scenes_of(plan: CubePlan) -> list[Scene]:
    return [scene for some in plan.scenes.values() for scene in some]


def _first_address(plan: CubePlan) -> str:
    return next((asset.href for scene in _scenes_of(plan) for asset in scene.bands.values()), "")


def _shared(work: Work, opened: float, processes: float, tasks: float = 0.0) -> Work:
    """Return the work with other numbers of opened files, of processes and of task runs."""
    share = opened / work.opened if work.opened else 0.0
    headers = {"header_requests": share * work.header_requests, "header_bytes": share * work.header_bytes}
    return replace(work, opened=opened, processes=processes, tasks=tasks, **headers)


def works_of(
    spec: CubeSpec,
    coefficients: Coefficients,
    scenes: Sequence[Scene],
    chunks: Iterable[tuple[Window, Sequence[Scene]]],
    samples: Sequence[SampledScene] = (),
) -> list[dict[Case, Work]]:
    """Return the work of chunks in each case of cloud cover.

    Parameters
    ----------
    spec : CubeSpec
        Cube of the chunks.
    coefficients : Coefficients
        State the size of blocks.
    scenes : sequence of Scene
        All scenes of the cube, whose covers are likely for those that state none.
    chunks : iterable of (Window, sequence of Scene)
        Each chunk with the scenes whose reach meets it.
    samples : sequence of SampledScene
        Scenes whose headers were read.
    """
    models = {case: WorkModel.of(spec, scenes, case, coefficients.block, samples) for case in CASES}
    chosen = [(window, models["likely"].parts(window, met)) for window, met in chunks]
    draws = max(1, _DRAWS // max(1, len(chosen)))
    models = {case: replace(model, reads=models["likely"].reads, draws=draws) for case, model in models.items()}
    return [{case: model.of_parts(window, parts) for case, model in models.items()} for window, parts in chosen]


def with_scenes(
    spec: CubeSpec, scenes: Mapping[str, Sequence[Scene]], windows: Iterable[tuple[str, Window]]
) -> Iterator[tuple[Window, Sequence[Scene]]]:
    """Yield windows of periods with the scenes whose reach meets them.

    Parameters
    ----------
    spec : CubeSpec
        Cube of the windows.
    scenes : mapping
        Scenes by period label.
    windows : iterable of (str, Window)
        Each window with the label of its period.
    """
    indexes: dict[str, SceneIndex] = {}
    for label, window in windows:
        if label not in indexes:
            indexes[label] = SceneIndex(scenes[label])
        yield window, indexes[label].query(spec.grid.window_outline(window.grow(spec.mask.halo)))


def square_km_of_pixel(plan: CubePlan) -> float:
    """Return the mean area of a pixel of the cube on the ground, in square kilometres."""
    grid = plan.spec.grid
    area = grid.metres**2
    if grid.lattice.is_geographic:
        _, south, _, north = grid.outline.bounds
        radians = [math.radians(latitude) for latitude in (south, north)]
        span = radians[1] - radians[0]
        area *= (math.sin(radians[1]) - math.sin(radians[0])) / span if span > 0 else math.cos(radians[0])
        area *= abs(grid.lattice.step_x / grid.lattice.step_y)
    return area / 1e6


def _total_work(plan: CubePlan, jobs: ChunkJobs, coefficients: Coefficients, samples: Samples) -> dict[Case, Work]:
    """Return the work of all jobs, from that of a sample."""
    chosen = [jobs[int(position)] for position in evenly(len(jobs), _MOST_SAMPLED)] if len(jobs) else []
    chunks = with_scenes(plan.spec, plan.scenes, ((job.key.period, job.window) for job in chosen))
    works = works_of(plan.spec, coefficients, _scenes_of(plan), chunks, samples.scenes)
    if not chosen:
        return dict.fromkeys(CASES, Work())
    pixels, reads = sum(job.pixels for job in chosen), sum(job.scenes * job.pixels for job in chosen)
    by_count, by_pixels = len(jobs) / len(chosen), jobs.pixels / pixels
    by_reads = jobs.reads / reads if reads else 0.0
    totals: dict[Case, Work] = {}
    for case in CASES:
        total = Work.sum(work[case] for work in works)
        totals[case] = replace(
            total.times(by_reads),
            chunks=total.chunks * by_count,
            arrays=total.arrays * by_count,
            output=total.output * by_pixels,
            observed=total.observed * by_pixels,
        )
    return totals


def _ratios(measured: Measured, coefficients: Coefficients) -> dict[Quantity, tuple[float, float]]:
    """Return the ratio of counted to predicted figures of each quantity that was counted, and its error as a share."""
    found: dict[Quantity, tuple[float, float]] = {}
    opened = sum(work["likely"].opened for work in measured.works)
    share = min(1.0, measured.files / opened) if opened else 1.0
    for quantity in QUANTITIES:
        pairs = []
        for work, used in zip(measured.works, measured.used, strict=True):
            likely = work["likely"]
            own = _shared(likely, share * likely.opened, measured.processes / len(measured.works))
            predicted = coefficients.predict(own).get(quantity)
            counted = used.get(quantity)
            if counted is not None and predicted is not None:
                pairs.append((predicted, counted))
        if sum(predicted for predicted, _ in pairs) > 0:
            found[quantity] = _ratio(pairs)
    return found


def _ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the ratio of the sums, and the half-width of its 95 % interval as a share of it."""
    predicted, counted = (sum(column) for column in zip(*pairs, strict=True))
    ratio, count = counted / predicted, len(pairs)
    if count == 1 or ratio == 0:
        return ratio, _UNKNOWN_SPREAD
    variance = sum((one - ratio * expected) ** 2 for expected, one in pairs) / (count - 1)
    quantile = 2 + 10 / (count - 1) ** 1.5  # about that of Student's t
    return ratio, _MEASURED_SPREAD + quantile * math.sqrt(variance / count) / (counted / count)


def _range(quantity: Quantity, predicted: Mapping[Case, Used], correction: tuple[float, float]) -> Range:
    """Return the range of a figure, corrected by a ratio whose error is a share of it."""
    ratio, spread = correction
    low, likely, high = (ratio * (predicted[case].get(quantity) or 0.0) for case in CASES)
    return Range(low / (1 + spread), likely, high * (1 + spread))
