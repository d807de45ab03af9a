"""Show a build on the console: a bar or plain lines, and tables at the end."""

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ardcube.extent.grid import Tiles
from ardcube.extent.periods import Period
from ardcube.ledger.observed import Observed
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube, filling_text
from ardcube.pixels.composites.geomedian import UNFINISHED
from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.estimate import Estimate
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.levels import LevelCount
from ardcube.report.causes import LOST_WORKER, Cause, CauseCounter
from ardcube.report.cost_rows import clear_days_text, estimate_rows, number, run_rows, size
from ardcube.report.cube_status import CubeStatus
from ardcube.report.empty_periods import EmptyPeriods
from ardcube.report.summary import BuildSummary, CubeOutcome, LeftOut, left_out
from ardcube.report.wording import access_to, count_of, names_of, short
from flows.progress import ProgressReceiver
from hooks.closed_output import LastingConsole

_FEW = 200
"""Chunks up to which each gets a line when the output is piped."""
_SECONDS_BETWEEN_LINES = 10.0
"""Seconds between lines when more chunks are built and the output is piped."""
_MOST_ROWS = 20
"""Causes or scenes in a table at most; the ledger has all."""


def new_console() -> Console:
    """Return a console that does not interpret markup in catalogues and ledgers."""
    return LastingConsole(markup=False)


class ConsoleProgress(ProgressReceiver):
    """Shows counts, Mpx/s and time left: as a bar, or as lines if output is piped."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.counts: Counter[str] = Counter()
        self.causes = CauseCounter()
        self.pixels = 0
        self.total = 0
        self._bar = Progress(
            TextColumn("chunks"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("chunks", total=None, detail="")
        self._began = self._printed = time.monotonic()

    def warned(self, line: str) -> None:
        """Print a warning."""
        _print(self.console, f"warning  {line}")

    def cube_started(self, name: str, number: int, cubes: int) -> None:
        """Print the name of a cube."""
        _print(self.console, f"cube {name} ({number} of {cubes})")

    def searched(self, period: Period, scenes: int) -> None:
        """Print the number of scenes of a period."""
        self.console.print(f"{period.label}: {count_of(scenes, 'scene')}", highlight=False)

    def started(self, chunks: int, already_done: int) -> None:
        """Print the number of chunks and start the bar."""
        before = f", {already_done} were done before" if already_done else ""
        self.console.print(f"{count_of(chunks, 'chunk')} to build{before}", highlight=False)
        self.total, self.pixels = chunks, 0
        self.counts.clear()
        self._began = self._printed = time.monotonic()
        self._bar.reset(self._task, total=chunks)
        self._bar.start()

    def chunk_ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Count a chunk, and print it when piped."""
        status = record.status if record is not None else "failed"
        self.counts[status] += 1
        self.counts["retried"] += record is not None and record.attempt_count > 1
        self.pixels += job.pixels if status != "failed" else 0
        self._bar.update(self._task, advance=1, detail=self._detail())
        now = time.monotonic()
        ended = self._ended()
        failure = record.failure if record is not None else None
        is_new = status == "failed" and self.causes.add(job.key, failure)
        if is_new and len(self.causes) <= _MOST_ROWS:
            _print(self.console, f"{job.key} failed: {short((failure and failure.error) or LOST_WORKER)}")
        if not self.console.is_terminal and (
            self.total <= _FEW or now - self._printed > _SECONDS_BETWEEN_LINES or ended == self.total
        ):
            self._printed = now
            without = f" without {', '.join(record.skipped)}" if record is not None and record.skipped else ""
            _print(self.console, f"{ended}/{self.total} {job.key} {status}{without} ({self._detail()})")

    def finished(self) -> None:
        """Stop the bar and restore the cursor."""
        self._bar.stop()

    def _ended(self) -> int:
        return self.counts["written"] + self.counts["empty"] + self.counts["failed"]

    def _detail(self) -> str:
        rate = self.pixels / 1e6 / max(1e-9, time.monotonic() - self._began)
        shown = [f"{self.counts[name]} {name}" for name in ("empty", "failed", "retried") if self.counts[name]]
        return ", ".join([*shown, f"{rate:.2f} Mpx/s"])


def print_summary(console: Console, summary: BuildSummary) -> None:
    """Print the counts of a run, its left-out scenes, the causes of its failures, and its empty periods."""
    counts = [
        (summary.already_done, "done before"),
        (summary.left, "left"),
        (summary.retried, "retried"),
    ]
    built = summary.written + summary.empty + summary.failed
    chunks = f"{summary.written} written, {summary.empty} empty, {summary.failed} failed" if built else "none built"
    _print(console, f"chunks   {', '.join([chunks, *(f'{count} {name}' for count, name in counts if count)])}")
    if built:
        _print(console, f"scenes   {summary.scenes}")
        rate = f", {summary.megapixels:.2f} Mpx, {summary.megapixels_per_second:.2f} Mpx/s"
    _print(console, f"time     {summary.seconds:.1f} s{rate if built else ''}")
    if summary.cost is not None:
        for name, counted, expected in run_rows(summary.cost):
            _print(console, f"{name:8} {counted}{f'; estimate {expected}' if expected else ''}")
    _print(console, f"{'cubes' if summary.cubes else 'cube':8} {summary.uri}")
    print_cubes(console, summary.cubes)
    if summary.report:
        _print(console, f"report   {summary.report}")
    print_left_out(console, summary.left_out)
    print_causes(console, summary.causes)
    print_empty_periods(console, summary.empty_periods)


def print_cubes(console: Console, cubes: Sequence[CubeOutcome]) -> None:
    """Print the cubes of a run: failed ones with their error, the others with their counts, and their report pages."""
    for cube in sorted(cubes, key=lambda cube: not cube.error)[:_MOST_ROWS]:
        _print(console, f"         {cube.name}: {cube.error or (cube.summary and cube.summary.message)}")
        if cube.summary is not None and cube.summary.report:
            _print(console, f"         {'':{len(cube.name)}}  {cube.summary.report}")
    if len(cubes) > _MOST_ROWS:
        _print(console, f"         and {len(cubes) - _MOST_ROWS} more")


def print_left_out(console: Console, scenes: Sequence[LeftOut]) -> None:
    """Print a line for each scene that chunks were built without: id, reason, number of chunks."""
    if scenes:
        _print(console, f"skipped  {count_of(len(scenes), 'scene')} left out, each with the chunks built without it:")
        _print_counts(console, [(scene.chunks, f"{scene.scene}: {short(scene.reason)}") for scene in scenes])


def print_causes(console: Console, causes: Sequence[Cause]) -> None:
    """Print a line for each cause of failures with the number of its chunks, their keys if known, and what to do."""
    if causes:
        _print(console, f"failed   {count_of(len(causes), 'cause')}, each with its number of chunks:")
        _print_counts(console, [(cause.chunks, "\n".join([str(cause), *_lines_of(cause.keys)])) for cause in causes])
    for remedy in dict.fromkeys(cause.remedy for cause in causes if cause.remedy):
        _print(console, f"to do    {remedy}")


def print_empty_periods(console: Console, empty: EmptyPeriods) -> None:
    """Print a warning for periods without a scene, and for periods without a clear pixel."""
    for message in empty.messages():
        _print(console, f"warning  {message}")


def _print_counts(console: Console, rows: Sequence[tuple[int, str]]) -> None:
    """Print texts with their numbers of chunks, a bounded number of rows. Long lines are not cut: a path is copied."""
    for chunks, text in rows[:_MOST_ROWS]:
        _print(console, f"{chunks:>7}  {text}")
    if len(rows) > _MOST_ROWS:
        _print(console, f"{'':7}  and {len(rows) - _MOST_ROWS} more")


def _lines_of(keys: Sequence[str]) -> list[str]:
    """Return keys of chunks in indented lines for a terminal of 80 columns."""
    return [f"{'':9}{'  '.join(keys[first : first + 3])}" for first in range(0, len(keys), 3)]


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def print_estimate(console: Console, spec: CubeSpec, estimate: Estimate, pending: int, cost: CostEstimate) -> None:
    """Print the grid, the encoding, the size and the cost of a plan."""
    table = Table(show_header=False, box=None)
    table.add_row("grid", str(spec.grid))
    table.add_row("reflectance", str(spec.encoding))
    table.add_row("tiles", f"{estimate.tiles:,}")
    table.add_row("periods", f"{estimate.periods:,}")
    table.add_row("chunks", f"{estimate.chunks:,}" + (f", {pending:,} not done yet" if pending else ""))
    table.add_row("pixels", f"{estimate.pixels / 1e6:,.1f} Mpx per band")
    table.add_row("scenes", f"{estimate.scenes:,}, read {estimate.chunk_scenes:,} times by chunks")
    if estimate.collections:
        table.add_row("collections", names_of(estimate.collections))
    table.add_row("definition", names_of(estimate.definitions))
    table.add_row("sensor", names_of(estimate.sensors, "unknown"))
    if access := access_to(estimate.access):
        table.add_row("access", access)
    table.add_row("cloud mask", estimate.cloud_mask)
    if days := clear_days_text(spec.enough):
        table.add_row("clear days", days)
    for name, text in estimate_rows(cost):
        table.add_row(name, text)
    console.print(table)


def print_estimates(console: Console, cubes: Sequence[tuple[str, Estimate, CostEstimate]]) -> None:
    """Print the sizes of several cubes and their sums.

    Parameters
    ----------
    cubes : sequence of (str, Estimate, CostEstimate)
        Name, sizes, and the cost of the chunks that are not done.
    """
    table = Table("cube", "tiles", "chunks", "not done", "Mpx", "scenes", "read", "CPU h", "memory")
    for name, one, cost in cubes:
        table.add_row(
            name, f"{one.tiles:,}", f"{one.chunks:,}", f"{cost.chunks:,}", f"{one.pixels / 1e6:,.1f}",
            f"{one.scenes:,}", size(cost.bytes_to_read.likely), number(cost.cpu_hours.likely),
            size(cost.memory_per_worker),
        )  # fmt: skip
    every, costs = [one for _, one, _ in cubes], [cost for _, _, cost in cubes]
    table.add_section()
    table.add_row(
        f"{len(cubes)} cubes",
        f"{sum(one.tiles for one in every):,}",
        f"{sum(one.chunks for one in every):,}",
        f"{sum(cost.chunks for cost in costs):,}",
        f"{sum(one.pixels for one in every) / 1e6:,.1f}",
        f"{sum(one.scenes for one in every):,}",
        size(sum(cost.bytes_to_read.likely for cost in costs)),
        number(sum(cost.cpu_hours.likely for cost in costs)),
        size(max(cost.memory_per_worker for cost in costs)),
    )
    console.print(table)


def print_records(console: Console, records: Sequence[ChunkRecord], tiles: Tiles, *, chunks: bool = False) -> None:
    """Print the records of a cube.

    Parameters
    ----------
    console : Console
        Gets a row per period, the left-out scenes and the causes of failures.
    records : sequence of ChunkRecord
        Records with statistics.
    tiles : Tiles
        Tiles that are built; their pixels weight the clear days.
    chunks : bool
        List the chunks of each cause.
    """
    table = Table("period", "written", "empty", "failed", "retried", "scenes", "clear days", title="Ledger")
    causes, tile_pixels = CauseCounter(list_chunks=chunks), tiles.pixels_by_cell
    for period in sorted({record.key.period for record in records}):
        rows = [record for record in records if record.key.period == period]
        counts = Counter(record.status for record in rows)
        observed = Observed()
        for record in rows:
            observed.add(record, tile_pixels.get((record.key.row, record.key.col), 0))
        table.add_row(
            period,
            *(str(counts[status]) for status in ("written", "empty", "failed")),
            str(sum(record.attempt_count > 1 for record in rows)),
            str(len({scene for record in rows for scene in record.scenes})),
            "" if observed.clear_days is None else f"{observed.clear_days:.1f}",
        )
        for record in rows:
            if record.status == "failed":
                causes.add(record.key, record.failure)
    console.print(table)
    if unfinished := sum(record.statistics.get(UNFINISHED, 0) for record in records):
        pixels = count_of(int(unfinished), "pixel")
        _print(console, f"warning  the geometric median of {pixels} ended at the bound of iterations")
    print_left_out(console, left_out(records))
    print_causes(console, causes.causes())
    print_empty_periods(console, EmptyPeriods.of(records))


def print_status(console: Console, cube: StoredCube, status: CubeStatus, levels: Sequence[LevelCount]) -> None:
    """Print how a filled cube was filled, its due chunks, its levels, and the run that holds the lease."""
    if cube.filling is not None:
        source = f", from {cube.filled_from}" if cube.filled_from else ""
        _print(console, f"filled   {filling_text(cube.filling)}{source}")
    _print(console, f"due      {status}")
    if levels:
        _print(console, f"levels   {', '.join(map(str, levels))}")
    _print(console, f"lease    {status.holder or 'no run writes this cube'}")
