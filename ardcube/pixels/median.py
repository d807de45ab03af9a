"""The median composite and its observation count."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.bitmask import unpacked


def median_of_valid(stack: NDArray[np.uint16], out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
    """Return the median over days of the values that are not 0, per pixel.

    Parameters
    ----------
    stack : uint16 (day, y, x)
        0 means no observation.
    out : uint16 (y, x), optional
        Array for the result.

    Returns
    -------
    uint16 (y, x)
        The mean of the middle two for an even count, rounded half to even; 0 without an observation.
    """
    result = np.empty(stack.shape[1:], np.uint16) if out is None else out
    if not len(stack):
        result[:] = 0
    else:
        from ardcube.kernels.statistics import median_rows  # numba takes a second to import

        median_rows(stack, sorting_network(len(stack)), result)
    return result


def observe(stack: NDArray[np.uint16], observed: NDArray[np.uint8]) -> None:
    """Set the bits of pixels that have an observation in at least one band.

    Parameters
    ----------
    stack : uint16 (band, day, y, x)
        0 means no observation.
    observed : uint8 (day, y, x / 8, rounded up)
        Bits as in `ardcube.pixels.bitmask`, changed in place. Bits that are already set stay set.
    """
    if len(observed):
        from ardcube.kernels import statistics  # numba takes a second to import

        statistics.observe(stack, observed)


def count_days(observed: NDArray[np.uint8], width: int) -> NDArray[np.uint16]:
    """Return the number of days with an observation, uint16 (y, x), from the bits that `observe` set."""
    count = np.zeros((observed.shape[1], width), np.uint16)
    for bits in observed:
        count += unpacked(bits, width)
    return count


@lru_cache(maxsize=256)
def sorting_network(lanes: int) -> NDArray[np.int64]:
    """Return the compare-exchange pairs (n, 2) that sort `lanes` values: Batcher's odd-even merge sort (1968).

    The pairs do not depend on the values, so that all pixels of a row are sorted at once.
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
