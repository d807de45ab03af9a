"""Telling a person how far a build is: the flow reports, whoever started it chooses how that looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from ardcube.extent.periods import Period
from ardcube.ledger.record import ChunkRecord
from ardcube.plan.jobs import ChunkJob


class Progress(Protocol):
    """What a flow tells while it works."""

    def searched(self, period: Period, scenes: int) -> None:
        """One period was searched."""
        ...

    def started(self, chunks: int, already_done: int) -> None:
        """Chunks are about to be built."""
        ...

    def ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """A chunk came to an end; without a record its worker was lost."""
        ...

    def returned(self) -> None:
        """All chunks that came back together were told."""
        ...

    def finished(self) -> None:
        """No more chunks will come."""
        ...


class Silence:
    """Tells nothing."""

    def searched(self, period: Period, scenes: int) -> None:
        """Ignore."""

    def started(self, chunks: int, already_done: int) -> None:
        """Ignore."""

    def ended(self, job: ChunkJob, record: ChunkRecord | None) -> None:
        """Ignore."""

    def returned(self) -> None:
        """Ignore."""

    def finished(self) -> None:
        """Ignore."""


_current: ContextVar[Progress] = ContextVar("progress", default=Silence())  # noqa: B039  (it holds no state)


def current_progress() -> Progress:
    """Whoever listens to this run."""
    return _current.get()


@contextmanager
def reporting(progress: Progress) -> Iterator[None]:
    """Let `progress` hear of the flows that run in this block."""
    token = _current.set(progress)
    try:
        yield
    finally:
        _current.reset(token)
