"""The benchmark of composites: its oracle and ardcube agree on the same observations."""

from __future__ import annotations

import numpy as np

from ardcube.pixels.composites.geomedian import geomedian_of
from ardcube.pixels.composites.protocol import Stack
from benchmarks.geomedian import BANDS, cost, cpu_seconds, observations, plain_geomedian


def test_the_results_that_are_timed_agree() -> None:
    numbers = observations(4, 12, 2, 150)
    assert 0.55 < (numbers != 0).mean() < 0.65
    seen = np.where(numbers == 0, np.nan, numbers).astype(np.float64)
    best = plain_geomedian(seen, 1e-6, 3000)
    found = geomedian_of(Stack(numbers, BANDS, np.zeros(12, "datetime64[ns]"), 1e-4, -0.1)).astype(np.float64)
    assert (cost(found, seen) - cost(best, seen)).max() < 0.1
    assert np.percentile(np.abs(found - best), 99) < 0.5


def test_the_time_is_that_of_the_work_after_the_first_call() -> None:
    calls: list[int] = []
    assert cpu_seconds(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 4
