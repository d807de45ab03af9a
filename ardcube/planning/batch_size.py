"""Choose the size of batches, and how many are in flight: few task runs, all workers busy (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass

TASK_RUNS_PER_FLOW = 1000
"""Most task runs of a flow run. Each is a row, three events and a page entry at the Prefect server."""
SECONDS = 30.0
"""Seconds of work in a batch. A task run costs about 0.2 s of CPU, and progress is shown when one ends."""
FEWEST_SECONDS = 1.0
"""Least seconds of work in a batch. Below, most of the time is the task run's own cost."""
LARGEST = 5_000
"""Most chunks of a batch: a worker keeps and returns all of their records."""
FEWEST_IN_FLIGHT = 8
"""Least batches in flight. An adaptive cluster grows with the batches that wait."""
_FORGET = 0.8
"""Weight of the past when a batch ends, because chunks over sea and over land differ, and neighbours are alike."""
_MAIN_SHARE = 0.7
"""Share of the task runs for full batches; the rest is for shorter batches at the end."""
_MOST_AT_THE_END = 100
"""Most slots that shorter batches at the end are made for, because more would need too many task runs."""


@dataclass(slots=True)
class BatchSizes:
    """Sizes of the batches of one run, each chosen when the batch is submitted.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987, doi:10.1109/TC.1987.5009495): a batch is a share of the
    chunks that are left. Batches get shorter, so that all workers end at about the same time. A batch has at most
    `SECONDS` of work, unless there would be too many task runs.
    """

    chunks: int
    """Chunks of the run."""
    fixed: int | None = None
    """Chunks of a batch, if the user chose them."""
    most_in_flight: int | None = None
    """Most batches in flight; None is no limit."""
    sent: int = 0
    """Chunks that were submitted."""
    _seconds: float = 0.0
    _measured: float = 0.0

    @property
    def left(self) -> int:
        """Chunks that were not submitted yet."""
        return self.chunks - self.sent

    def in_flight(self, slots: int) -> int:
        """Return how many batches are in flight at the same time.

        Parameters
        ----------
        slots : int
            Batches that workers build at the same time.
        """
        if self._adapts and not self._measured:
            return slots + 1  # more would have the wrong size, because chunks were not measured yet
        wanted = max(FEWEST_IN_FLIGHT, math.ceil(1.25 * slots) + 2)
        return wanted if self.most_in_flight is None else min(wanted, self.most_in_flight)

    def next(self, slots: int) -> int:
        """Return the size of the next batch, 0 if nothing is left."""
        size = min(self.left, self._size(slots))
        self.sent += size
        return size

    def took(self, chunks: int, seconds: float) -> None:
        """Update the measured seconds per chunk."""
        self._seconds = _FORGET * self._seconds + seconds
        self._measured = _FORGET * self._measured + chunks

    @property
    def _adapts(self) -> bool:
        return self.fixed is None

    def _size(self, slots: int) -> int:
        if self.fixed is not None:
            return self.fixed
        if not self._adapts or not self._measured:
            return 1
        each = max(1e-6, self._seconds / self._measured)
        fair = math.ceil(self.left / (2 * min(slots, _MOST_AT_THE_END)))
        wanted = int(min(SECONDS / each, max(fair, FEWEST_SECONDS / each)))
        needed = math.ceil(self.chunks / (_MAIN_SHARE * TASK_RUNS_PER_FLOW))
        return max(1, min(LARGEST, wanted), min(needed, max(fair, needed // 4)))
