"""The median composite, and the count of its observations."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.bitmask import unpacked


def median_of_valid(stack: NDArray[np.uint16], out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
    """Median over days of the values that are not 0, per pixel.

    Parameters
    ----------
    stack : uint16 (day, y, x)
        0 is no observation.
    out : uint16 (y, x), optional
        Where to put it.

    Returns
    -------
    uint16 (y, x)
        An even count gives the mean of the middle two, rounded half to even; no observation gives 0.
    """
    result = np.empty(stack.shape[1:], np.uint16) if out is None else out
    if not len(stack):
        result[:] = 0
    else:
        from ardcube.kernels.statistics import median_rows  # numba takes a second to import

        median_rows(stack, sorting_network(len(stack)), result)
    return result


def observe(stack: NDArray[np.uint16], observed: NDArray[np.uint8]) -> None:
    """Note which pixels have an observation in some band.

    Parameters
    ----------
    stack : uint16 (band, day, y, x)
        0 is no observation.
    observed : uint8 (day, y, x / 8, rounded up)
        Bits as in `ardcube.pixels.bitmask`, which are set there, and stay where they are set.
    """
    if len(observed):
        from ardcube.kernels import statistics  # numba takes a second to import

        statistics.observe(stack, observed)


def count_days(observed: NDArray[np.uint8], width: int) -> NDArray[np.uint16]:
    """Days with an observation, uint16 (y, x), of what `observe` noted."""
    count = np.zeros((observed.shape[1], width), np.uint16)
    for bits in observed:
        count += unpacked(bits, width)
    return count


@lru_cache(maxsize=256)
def sorting_network(lanes: int) -> NDArray[np.int64]:
    """Compare-exchange pairs (n, 2) that sort `lanes` values: Batcher's odd-even merge sort (1968).

    The same pairs serve every pixel of a row at once, which a sort per pixel cannot.
    """
    pairs = []
    run = 1
    while run < lanes:
        stride = run
        while stride >= 1:
            for start in range(stride % run, lanes - stride, 2 * stride):
                for offset in range(min(stride, lanes - start - stride)):
                    low = start + offset
                    if low // (2 * run) == (low + stride) // (2 * run):
                        pairs.append((low, low + stride))
            stride //= 2
        run *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)
