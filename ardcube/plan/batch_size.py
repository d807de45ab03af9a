"""How many chunks a task run gets, and how many task runs are under way: few, with all workers busy (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass

TASK_RUNS_PER_FLOW = 1000
"""About the most that a flow run has: each is a row, three events and a page entry at Prefect's server."""
SINGLE_CHUNK_LIMIT = 200
"""Up to so many chunks, each has a task run of its own."""
SECONDS = 30.0
"""Of work in a batch: a task run costs about 0.2 s of CPU, and a person sees progress when one ends."""
FEWEST_SECONDS = 1.0
"""Of work in a batch, also when workers run out of it: below, it is mostly task run."""
LARGEST = 5_000
"""Chunks: what a worker holds and reports at once."""
FEWEST_IN_FLIGHT = 8
"""Batches under way, also for a cluster with few workers yet: an adaptive one grows with what waits."""
_FORGET = 0.8
"""Weight of what was known when another batch ends: chunks at sea and in the mountains differ, and lie together."""
_MAIN_SHARE = 0.7
"""Of the task runs; the others are for shorter batches at the end."""
_MOST_AT_THE_END = 100
"""Slots that shorter batches at the end are made for: with more of them, there would be too many."""


@dataclass(slots=True)
class BatchSizes:
    """Sizes of the batches of one run, each chosen when it is sent.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987, doi:10.1109/TC.1987.5009495): a batch is a share of what is
    left, so that batches get shorter and all workers end at about the same time; never longer than `SECONDS` of work,
    unless there would be too many.
    """

    chunks: int
    """In the whole run."""
    fixed: int | None = None
    """Chunks in a batch, if a person chose that."""
    most_in_flight: int | None = None
    """Batches under way, if there is a limit."""
    sent: int = 0
    """Chunks that were given out."""
    _seconds: float = 0.0
    _measured: float = 0.0

    @property
    def left(self) -> int:
        """Chunks that were not given out yet."""
        return self.chunks - self.sent

    def in_flight(self, slots: int) -> int:
        """How many batches are submitted at the same time.

        Parameters
        ----------
        slots : int
            Batches that workers build at the same time.
        """
        if self._adapts and not self._measured:
            return slots + 1  # what waits in front of a worker is of the wrong size
        wanted = max(FEWEST_IN_FLIGHT, math.ceil(1.25 * slots) + 2)
        return wanted if self.most_in_flight is None else min(wanted, self.most_in_flight)

    def next(self, slots: int) -> int:
        """Size of the next batch, 0 when nothing is left."""
        size = min(self.left, self._size(slots))
        self.sent += size
        return size

    def took(self, chunks: int, seconds: float) -> None:
        """Learn from chunks that were built."""
        self._seconds = _FORGET * self._seconds + seconds
        self._measured = _FORGET * self._measured + chunks

    @property
    def _adapts(self) -> bool:
        return self.fixed is None and self.chunks > SINGLE_CHUNK_LIMIT

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
