"""Keep the progress artifact of a run, updated every few seconds."""

import time
from collections.abc import Callable
from uuid import UUID

from ardcube.extent.periods import Period
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.report.render import escaped
from ardcube.report.statistics import Tally
from flows.progress import ProgressReceiver
from hooks.artifacts import artifact_key, post, revise

SECONDS_BETWEEN = 5.0
"""Seconds between updates of the artifact. Each update is a request, a row and an event at Prefect's server."""
_MOST_CAUSES = 3
"""Causes of failures that the artifact names; the summary has more of them."""
_AFTER_FAILURE = 60.0
"""Seconds until the next update after one that the server did not accept, because chunks must not wait for it."""


class ProgressArtifact(ProgressReceiver):
    """Counts chunks, keeps the progress artifact, and passes all reports on.

    Parameters
    ----------
    listener : ProgressReceiver
        Gets every report too.
    flow_run_id : UUID
        Id of the flow run.
    cube : str
        Name of the cube.
    attempts_before : callable
        Returns the attempts that earlier runs made at a chunk.
    check : callable
        Raises if the run must stop. Called with each update.
    """

    def __init__(
        self,
        listener: ProgressReceiver,
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
        self._total = self._already_done = self._ended = 0
        self._ending = ""
        """Why the run ended before its last chunk, at the end of the artifact."""
        self._next_update = time.monotonic()
        self._first_batch: tuple[float, int] | None = None
        """When the first batch ended, and its chunks. They do not predict the others, since workers had to start."""

    def warned(self, line: str) -> None:
        """Pass the report on."""
        self._listener.warned(line)

    def searched(self, period: Period, scenes: int) -> None:
        """Pass the report on."""
        self._listener.searched(period, scenes)

    def started(self, chunks: int, already_done: int) -> None:
        """Create the artifact."""
        self._listener.started(chunks, already_done)
        self._total, self._already_done = chunks, already_done
        if chunks:
            self._artifact = post(self._flow_run_id, "progress", self._key, self._percent(), self._text())
        self._next_update = time.monotonic() + SECONDS_BETWEEN

    def chunk_ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Count a chunk."""
        self._listener.chunk_ended(job, record)
        self.tally.add(job.key, record, self._attempts_before(job.key))
        self._ended += 1

    def batch_ended(self) -> None:
        """Update the artifact and call `check`, once every few seconds."""
        self._listener.batch_ended()
        if self._first_batch is None:
            self._first_batch = time.monotonic(), self._ended
        if time.monotonic() >= self._next_update:
            self._update()
            self._check()

    def finished(self) -> None:
        """Update the artifact at the end of the run."""
        self._listener.finished()
        self._update()

    def stopped(self, reason: str) -> None:
        """Update the artifact with the reason why the run stops."""
        self._end(f"Stopped: {escaped(reason)}")

    def suspended(self) -> None:
        """Update the artifact, because the run has been suspended."""
        self._end("Suspended. A resumed run builds the other chunks.")

    def _end(self, ending: str) -> None:
        self._ending = f"\n\n{ending}"
        self._update()

    def _update(self) -> None:
        accepted = self._artifact is None or revise(self._artifact, self._percent(), self._text())
        self._next_update = time.monotonic() + (SECONDS_BETWEEN if accepted else _AFTER_FAILURE)

    def _percent(self) -> float:
        return round(100 * self._ended / self._total, 1) if self._total else 100.0

    def _text(self) -> str:
        counts = self.tally.ended
        shown = ", ".join(f"{counts[name]} {name}" for name in ("written", "empty", "failed") if counts[name])
        before = f"; {self._already_done} were done before" if self._already_done else ""
        causes = [
            f"\n* {cause.chunks} failed: {escaped(str(cause))}" for cause in self.tally.failed.causes()[:_MOST_CAUSES]
        ]
        left = "" if self._ending else self._time_left()
        text = f"{self._ended} of {self._total} chunks{': ' + shown if shown else ''}{before}{left}"
        return "\n".join([text, *causes]) + self._ending

    def _time_left(self) -> str:
        """Return the time left at the rate since the first batch, or an empty string."""
        if self._first_batch is None or self._ended == self._total:
            return ""
        seconds, ended = time.monotonic() - self._first_batch[0], self._ended - self._first_batch[1]
        if not ended or seconds < SECONDS_BETWEEN:
            return ""
        minutes = seconds * (self._total - self._ended) / ended / 60
        return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"
