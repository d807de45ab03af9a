"""Show a build on the console: a bar or plain lines, and tables at the end."""

import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from ardcube.extent.periods import Period
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.estimate import Estimate
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.memory import WORKER_BYTES
from ardcube.report.summary import BuildSummary, Failure, LeftOut, left_out
from flows.progress import ProgressReceiver

_FEW = 200
"""Chunks up to which each gets a line when the output is piped."""
_SECONDS_BETWEEN_LINES = 10.0
"""Seconds between lines when more chunks are built and the output is piped."""
_MOST_LEFT_OUT = 50
"""Scenes in a table at most; the ledger has all."""


def new_console() -> Console:
    """Return a console that does not interpret markup in catalogues and ledgers."""
    return Console(markup=False)


class ConsoleProgress(ProgressReceiver):
    """Shows counts, Mpx/s and time left: as a bar, or as lines if output is piped."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.counts: Counter[str] = Counter()
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

    def searched(self, period: Period, scenes: int) -> None:
        """Print the number of scenes of a period."""
        self.console.print(f"{period.label}: {scenes} scenes", highlight=False)

    def started(self, chunks: int, already_done: int) -> None:
        """Print the number of chunks and start the bar."""
        before = f", {already_done} were done before" if already_done else ""
        self.console.print(f"{chunks} chunks to build{before}", highlight=False)
        self.total = chunks
        self._began = self._printed = time.monotonic()
        self._bar.update(self._task, total=chunks)
        self._bar.start()

    def chunk_ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Count a chunk, and print it when piped."""
        status = record.status if record is not None else "failed"
        self.counts[status] += 1
        self.counts["retried"] += record is not None and len(record.attempts) > 1
        self.pixels += job.pixels if status != "failed" else 0
        self._bar.update(self._task, advance=1, detail=self._detail())
        now = time.monotonic()
        ended = self._ended()
        if not self.console.is_terminal and (
            self.total <= _FEW or now - self._printed > _SECONDS_BETWEEN_LINES or ended == self.total
        ):
            self._printed = now
            error = f": {record.error}" if record is not None and record.error else ""
            if record is not None and record.skipped:
                error += f" without {', '.join(record.skipped)}"
            self.console.print(
                f"{ended}/{self.total} {job.key} {status}{error} ({self._detail()})",
                highlight=False,
                soft_wrap=True,
            )

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
    """Print the counts of a run, its left-out scenes and its failed chunks."""
    console.print(
        f"chunks   {summary.written} written, {summary.empty} empty, {summary.failed} failed"
        + (f", {summary.already_done} done before" if summary.already_done else "")
        + (f", {summary.left} left" if summary.left else "")
        + (f", {summary.retried} retried" if summary.retried else ""),
        highlight=False,
    )
    console.print(f"scenes   {summary.scenes}", highlight=False)
    console.print(
        f"time     {summary.seconds:.1f} s, {summary.megapixels:.2f} Mpx, {summary.megapixels_per_second:.2f} Mpx/s",
        highlight=False,
    )
    console.print(f"cube     {summary.uri}", highlight=False, soft_wrap=True)
    if summary.left_out:
        print_left_out(console, summary.left_out)
    if summary.failures:
        print_failures(console, summary.failures)


def print_left_out(console: Console, scenes: tuple[LeftOut, ...]) -> None:
    """Print a table of the scenes that chunks were built without."""
    table = Table(
        "scene", "chunks", Column("reason", overflow="fold"), title="Scenes left out because they could not be read"
    )
    for scene in scenes[:_MOST_LEFT_OUT]:
        table.add_row(scene.scene, str(scene.chunks), scene.reason)
    if len(scenes) > _MOST_LEFT_OUT:
        table.add_row(f"and {len(scenes) - _MOST_LEFT_OUT} more", "", "")
    console.print(table)


def print_failures(console: Console, failures: tuple[Failure, ...]) -> None:
    """Print a table of the chunks that failed."""
    # Folded, not cut: the end of a URL is the file that is broken.
    table = Table("chunk", "attempts", Column("error", overflow="fold"), title="Chunks that failed")
    for failure in failures:
        table.add_row(failure.chunk, str(failure.attempts), failure.error)
    console.print(table)


def print_estimate(console: Console, estimate: Estimate, pending: int, threads: int) -> None:
    """Print the size of a plan."""
    table = Table(show_header=False, box=None)
    table.add_row("tiles", f"{estimate.tiles:,}")
    table.add_row("periods", f"{estimate.periods:,}")
    table.add_row("chunks", f"{estimate.chunks:,}" + (f", {pending:,} not done yet" if pending else ""))
    table.add_row("pixels", f"{estimate.pixels / 1e6:,.1f} Mpx per band")
    table.add_row("scenes", f"{estimate.scenes:,}, read {estimate.chunk_scenes:,} times by chunks")
    table.add_row("bytes to read", f"about {_human(estimate.bytes_to_read)} if nothing is cloudy")
    peak = WORKER_BYTES + threads * estimate.bytes_per_chunk
    table.add_row(
        "peak memory",
        f"about {_human(peak)} per worker of {threads} threads, {_human(estimate.bytes_per_chunk)} per chunk",
    )
    console.print(table)


def print_records(console: Console, records: list[ChunkRecord]) -> None:
    """Print the records of a cube: a row per period, and a row per failed chunk."""
    table = Table("period", "written", "empty", "failed", "retried", "scenes", "clear days", title="Ledger")
    for period in sorted({record.key.period for record in records}):
        rows = [record for record in records if record.key.period == period]
        counts = Counter(record.status for record in rows)
        clear = [record.statistics.get("mean_clear_days", 0.0) for record in rows if record.status == "written"]
        table.add_row(
            period,
            *(str(counts[status]) for status in ("written", "empty", "failed")),
            str(sum(len(record.attempts) > 1 for record in rows)),
            str(len({scene for record in rows for scene in record.scenes})),
            f"{sum(clear) / len(clear):.1f}" if clear else "",
        )
    console.print(table)
    bad = left_out(records)
    if bad:
        print_left_out(console, bad)
    failed = [record for record in records if record.status == "failed"]
    if failed:
        print_failures(
            console,
            tuple(Failure(str(record.key), len(record.attempts), record.error or "") for record in failed),
        )


def _human(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
