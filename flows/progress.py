"""The progress of a build, from the flow to the program that shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ardcube.extent.periods import Period
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkJob


class ProgressReceiver:
    """Receives the progress of a build. It ignores all reports; a subclass shows them."""

    def warned(self, line: str) -> None:
        """Report something that a person should correct although the run continues."""

    def cube_started(self, name: str, number: int, cubes: int) -> None:
        """Report that a run of several cubes begins with one of them."""

    def searched(self, period: Period, scenes: int) -> None:
        """Report the number of scenes found for a period."""

    def started(self, chunks: int, already_done: int) -> None:
        """Report that chunks are about to be built."""

    def chunk_ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Report the record of a chunk; None means that its worker was lost."""

    def batch_ended(self) -> None:
        """Report that all chunks of a batch were reported."""

    def finished(self) -> None:
        """Report that no more chunks will be built."""


_current: ContextVar[ProgressReceiver] = ContextVar("progress", default=ProgressReceiver())  # noqa: B039  (it holds no state)


def current_progress() -> ProgressReceiver:
    """Return the receiver of this run's progress."""
    return _current.get()


@contextmanager
def reporting(progress: ProgressReceiver) -> Iterator[None]:
    """Report the progress of flows that run in this block to `progress`."""
    token = _current.set(progress)
    try:
        yield
    finally:
        _current.reset(token)
