"""What a person sees of a build: a bar on a terminal, plain lines when piped, tables at the end."""

import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from ardcube.extent.periods import Period
from ardcube.ledger.record import ChunkRecord
from ardcube.plan.estimate import Estimate
from ardcube.plan.jobs import ChunkJob
from ardcube.report.summary import BuildSummary, Failure, LeftOut, left_out

_FEW = 200
"""Up to so many chunks, each gets a line of its own when piped."""
_SECONDS_BETWEEN_LINES = 10.0
_MOST_LEFT_OUT = 50
"""Scenes that a table names; the ledger has all."""


class ConsoleProgress:
    """A progress bar with counts, Mpx/s and time left; one line per chunk, or now and then, when piped."""

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
        self._begun = self._told = time.monotonic()

    def searched(self, period: Period, scenes: int) -> None:
        """Tell the scenes of a period."""
        self.console.print(f"{period.label}: {scenes} scenes", highlight=False)

    def started(self, chunks: int, already_done: int) -> None:
        """Begin to count."""
        before = f", {already_done} were done before" if already_done else ""
        self.console.print(f"{chunks} chunks to build{before}", highlight=False)
        self.total = chunks
        self._begun = self._told = time.monotonic()
        self._bar.update(self._task, total=chunks)
        self._bar.start()

    def ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Count a chunk."""
        status = record.status if record is not None else "failed"
        self.counts[status] += 1
        self.counts["retried"] += record is not None and len(record.attempts) > 1
        self.pixels += job.pixels if status != "failed" else 0
        self._bar.update(self._task, advance=1, detail=self._detail())
        now = time.monotonic()
        ended = self._ended()
        if not self.console.is_terminal and (
            self.total <= _FEW or now - self._told > _SECONDS_BETWEEN_LINES or ended == self.total
        ):
            self._told = now
            error = f": {record.error}" if record is not None and record.error else ""
            if record is not None and record.skipped:
                error += f" without {', '.join(record.skipped)}"
            self.console.print(
                f"{ended}/{self.total} {job.key} {status}{error} ({self._detail()})",
                highlight=False,
                soft_wrap=True,
            )

    def returned(self) -> None:
        """Nothing: each chunk was told."""

    def finished(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def _ended(self) -> int:
        return self.counts["written"] + self.counts["empty"] + self.counts["failed"]

    def _detail(self) -> str:
        rate = self.pixels / 1e6 / max(1e-9, time.monotonic() - self._begun)
        shown = [f"{self.counts[name]} {name}" for name in ("empty", "failed", "retried") if self.counts[name]]
        return ", ".join([*shown, f"{rate:.2f} Mpx/s"])


def print_summary(console: Console, summary: BuildSummary) -> None:
    """Say what a run did, with a table of what is missing."""
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
    """A table of the scenes that the cube does without."""
    table = Table("scene", "chunks", Column("reason", overflow="fold"), title="Scenes left out, since they were bad")
    for scene in scenes[:_MOST_LEFT_OUT]:
        table.add_row(scene.scene, str(scene.chunks), scene.reason)
    if len(scenes) > _MOST_LEFT_OUT:
        table.add_row(f"and {len(scenes) - _MOST_LEFT_OUT} more", "", "")
    console.print(table)


def print_failures(console: Console, failures: tuple[Failure, ...]) -> None:
    """A table of the chunks that are missing."""
    # Folded, not cut: the end of a URL is the file that is broken.
    table = Table("chunk", "attempts", Column("error", overflow="fold"), title="Chunks that failed")
    for failure in failures:
        table.add_row(failure.chunk, str(failure.attempts), failure.error)
    console.print(table)


def print_estimate(console: Console, estimate: Estimate, pending: int, threads: int) -> None:
    """Say what a plan will take."""
    from ardcube.plan.memory import WORKER_BYTES  # (slow to import)

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
    """A ledger as a table, one row per period, and one per chunk that failed."""
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
