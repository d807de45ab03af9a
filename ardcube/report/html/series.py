"""Numbers by period: chunks by state, scenes, clear days, work and bytes (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ardcube.extent.periods import Period
from ardcube.ledger.observed import Observed
from ardcube.report.html.chunk_numbers import ChunkNumbers
from ardcube.report.state_map import NAMES

_MOST_STEPS = 240
"""Steps of a series at most. Those of a cube with more periods are sums of several."""


@dataclass(frozen=True, slots=True)
class Step:
    """Numbers of a period, or of several consecutive periods of a long cube."""

    label: str
    first: int
    """Position of its first period."""
    chunks: dict[int, int]
    """Chunks by state."""
    scenes: int
    clear_days: float | None
    """Mean clear days of a pixel in one period; None if nothing is built."""
    observed: float | None
    """Share of the pixels with a clear day."""
    filled: float | None
    """Share of the pixels that were filled from other periods; None unless the cube is a filled one."""
    seconds: float
    """Seconds of all attempts."""
    bytes_read: int


def steps_of(numbers: ChunkNumbers, periods: Sequence[Period]) -> list[Step]:
    """Return the numbers of all periods, in order."""
    length = -(-len(periods) // _MOST_STEPS)
    return [_step(numbers, periods, range(len(periods))[first : first + length]) for first in
            range(0, len(periods), length)]  # fmt: skip


def total_of(numbers: ChunkNumbers, periods: Sequence[Period]) -> Step:
    """Return the numbers of the whole cube."""
    return _step(numbers, periods, range(len(periods)))


def _step(numbers: ChunkNumbers, periods: Sequence[Period], part: range) -> Step:
    counts = np.bincount(numbers.states[part.start : part.stop].ravel(), minlength=max(NAMES) + 1)
    sums = [numbers.periods[period] for period in part]
    observed = Observed.sum_of(one.observed for one in sums)
    first, last = periods[part[0]].label, periods[part[-1]].label
    return Step(
        label=first if first == last else f"{first} to {last}",
        first=part.start,
        chunks={state: int(counts[state]) for state in NAMES if counts[state]},
        scenes=len(observed.scenes),
        clear_days=observed.clear_days,
        observed=observed.share,
        filled=observed.filled_share,
        seconds=sum(one.seconds for one in sums),
        bytes_read=sum(one.bytes_read for one in sums),
    )
