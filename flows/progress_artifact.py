"""Watching a run's chunks end: counted for the summary, told to an operator now and then, never chunk by chunk."""

import time
from collections.abc import Callable
from uuid import UUID

from ardcube.extent.periods import Period
from ardcube.ledger.record import ChunkRecord
from ardcube.plan.jobs import ChunkJob, ChunkKey
from ardcube.report.statistics import Tally
from flows.progress import Progress
from hooks.artifacts import artifact_key, post, revise

SECONDS_BETWEEN = 5.0
"""Between updates of the progress: each is a request, a row and an event at Prefect's server."""
_AFTER_FAILURE = 60.0
"""Until a server that did not answer is asked again: the chunks do not wait for it."""


class Watch:
    """Passes on what a flow tells, sums it up, and keeps a progress artifact.

    Parameters
    ----------
    listener : Progress
        Whoever started the run.
    flow_run_id : UUID
        Of the run.
    cube : str
        Its name.
    attempts_before : callable
        How many attempts of a chunk earlier runs made.
    check : callable
        Raises once this run must not go on.
    """

    def __init__(
        self,
        listener: Progress,
        flow_run_id: UUID,
        cube: str,
        attempts_before: Callable[[ChunkKey], int],
        check: Callable[[], None],
    ) -> None:
        self.tally = Tally()
        self._listener = listener
        self._flow_run_id = flow_run_id
        self._key = artifact_key(cube, "progress")
        self._attempts_before = attempts_before
        self._check = check
        self._artifact: UUID | None = None
        self._total = self._already = self._ended = 0
        self._next = time.monotonic()
        self._first: tuple[float, int] | None = None
        """When the first chunks came back, and how many: they say nothing of the others, since workers had to start."""

    def searched(self, period: Period, scenes: int) -> None:
        """Pass on."""
        self._listener.searched(period, scenes)

    def started(self, chunks: int, already_done: int) -> None:
        """Begin to count."""
        self._listener.started(chunks, already_done)
        self._total, self._already = chunks, already_done
        if chunks:
            self._artifact = post(self._flow_run_id, "progress", self._key, self._share(), self._text())
        self._next = time.monotonic() + SECONDS_BETWEEN

    def ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Count a chunk."""
        self._listener.ended(job, record)
        self.tally.add(record, self._attempts_before(job.key))
        self._ended += 1

    def returned(self) -> None:
        """Tell where the run is, if it was not told a moment ago, and whether it may go on."""
        self._listener.returned()
        if self._first is None:
            self._first = time.monotonic(), self._ended
        if time.monotonic() >= self._next:
            self._update()
            self._check()

    def finished(self) -> None:
        """Tell how it ended."""
        self._listener.finished()
        self._update()

    def _update(self) -> None:
        told = self._artifact is None or revise(self._artifact, self._share(), self._text())
        self._next = time.monotonic() + (SECONDS_BETWEEN if told else _AFTER_FAILURE)

    def _share(self) -> float:
        return round(100 * self._ended / self._total, 1) if self._total else 100.0

    def _text(self) -> str:
        counts = self.tally.ended
        shown = ", ".join(f"{counts[name]} {name}" for name in ("written", "empty", "failed") if counts[name])
        before = f"; {self._already} were done before" if self._already else ""
        return f"{self._ended} of {self._total} chunks{': ' + shown if shown else ''}{before}{self._left()}"

    def _left(self) -> str:
        """Time that is left if it goes on like this."""
        if self._first is None or self._ended == self._total:
            return ""
        seconds, ended = time.monotonic() - self._first[0], self._ended - self._first[1]
        if not ended or seconds < SECONDS_BETWEEN:
            return ""
        minutes = seconds * (self._total - self._ended) / ended / 60
        return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"
