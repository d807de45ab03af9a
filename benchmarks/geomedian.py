"""Speed of the geometric median and other composites against plain NumPy, and against geomad if it is installed.

Run ``python -m benchmarks.geomedian``: one thread, 4 bands, 12 dates of which 60 % are clear. It prints megapixels per
second of CPU, and the largest sum of distances by which a result exceeds that of 3000 plain iterations.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.choice import MaxNDVI, Medoid
from ardcube.pixels.composites.geomedian import Geomedian, MedianDeviations
from ardcube.pixels.composites.per_band import Median, Percentile
from ardcube.pixels.composites.protocol import BandComposite, Stack
from ardcube.pixels.composites.reduce import reduce_bands, reduce_observations

BANDS = ("blue", "green", "red", "nir")
REPEATS = 3
SCALE = 1e-4
"""Reflectance of one digital number."""


def observations(bands: int, days: int, rows: int, columns: int) -> NDArray[np.uint16]:
    """Return observations around a spectrum, 60 % of them clear: uint16 (band, day, y, x)."""
    rng = np.random.default_rng(0)
    base = rng.integers(300, 4000, (bands, 1, rows, columns))
    light = rng.normal(1, 0.1, (1, days, rows, columns))
    numbers = np.clip(base * light + rng.normal(0, 0.1, (bands, days, rows, columns)) * base, 1, 65535)
    return np.where(rng.random((1, days, rows, columns)) < 0.6, numbers, 0).astype(np.uint16)


def plain_geomedian(seen: NDArray[np.float64], step: float, most: int) -> NDArray[np.float64]:
    """Return geometric medians by Weiszfeld's iteration in NumPy: (band, y, x), of observations with NaN."""
    point = np.nanmedian(seen, axis=1)
    for _ in range(most):
        distances = np.maximum(np.sqrt(((seen - point[:, None]) ** 2).sum(axis=0)), 1e-6)
        moved = np.nansum(seen / distances, axis=1) / np.nansum(1 / distances, axis=0)
        length = np.nanmax(np.sqrt(((moved - point) ** 2).sum(axis=0)))
        point = moved
        if length < step:
            break
    return point


def cpu_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the smallest CPU time of some calls, after one that compiles."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--days", type=int, default=12)
    parser.add_argument("--rows", type=int, default=100)
    given = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    numbers = observations(given.bands, given.days, given.rows, 1200)
    names = (*BANDS, *map(str, range(given.bands)))[: given.bands]
    dates = np.arange(given.days).astype("datetime64[D]").astype("datetime64[ns]")
    seen = np.where(numbers == 0, np.nan, numbers).astype(np.float64)
    pixels = given.rows * 1200
    rows: list[tuple[str, float]] = []
    for composites in (
        (Median(),), (Percentile(25.0),), (Medoid(),), (MaxNDVI(),), (Geomedian(),), (Geomedian(), MedianDeviations()),
    ):  # fmt: skip
        layers = [layer.empty(given.rows, 1200, given.bands) for one in composites for layer in one.layers]

        def reduce(composites: tuple[object, ...] = composites, layers: list[NDArray[np.generic]] = layers) -> None:
            if isinstance(composites[0], BandComposite):
                reduce_bands(composites, numbers, layers)  # type: ignore[arg-type]
            else:
                reduce_observations(composites, Stack(numbers, names, dates, 1e-4, -0.1), layers)  # type: ignore[arg-type]

        rows.append((", ".join(one.name for one in composites), cpu_seconds(reduce)))
    few = seen[:, :, :4]
    rows.append(
        ("NumPy, geomedian, step 0.05", cpu_seconds(lambda: plain_geomedian(few, 0.05, 100), 1) * given.rows / 4)
    )
    best = plain_geomedian(few, 1e-6, 3000)
    ours = Stack(numbers, names, dates, 1e-4, -0.1)
    from ardcube.pixels.composites.geomedian import geomedian_of

    found = {"ardcube": geomedian_of(ours)[:, :4].astype(np.float64)}
    if find_spec("geomad"):
        import geomad

        stacked = np.ascontiguousarray((seen * SCALE).astype(np.float32).transpose(2, 3, 0, 1))
        for eps in (1e-4, 5e-6):  # in reflectance: 1 and 0.05 digital numbers

            def theirs(eps: float = eps) -> NDArray[np.float32]:
                result: NDArray[np.float32] = geomad.nangeomedian_pcm(stacked, eps=eps, maxiters=1000, num_threads=1)
                return result

            rows.append((f"geomad, eps {eps:g}", cpu_seconds(theirs, 1)))
            found[f"geomad, eps {eps:g}"] = theirs()[:4].astype(np.float64).transpose(2, 0, 1) / SCALE
    for name, seconds in rows:
        print(f"{name:32}{pixels / seconds / 1e6:8.2f} Mpx/s per core")
    for name, point in found.items():
        excess = np.nanmax(cost(point, few) - cost(best, few))
        error = np.nanpercentile(np.abs(point - best), 99)
        print(f"{name:32}{excess:8.3f} more in the sum of distances at most, {error:.2f} DN from the best at p99")


def cost(point: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums of distances in digital numbers (y, x)."""
    sums: NDArray[np.float64] = np.nansum(np.sqrt(((seen - point[:, None]) ** 2).sum(axis=0)), axis=0)
    return sums


if __name__ == "__main__":
    main()
