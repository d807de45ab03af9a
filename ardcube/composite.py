"""The median composite of one band."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ardcube._jit import jit

_INSERTION_SORT_LIMIT = 48
"""Up to so many values, sorting them by insertion is faster than NumPy's sort in compiled code."""


def median_of_valid(stack: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Median over days of the values that are not 0, per pixel.

    Parameters
    ----------
    stack : uint16 (day, y, x)
        0 is no observation.

    Returns
    -------
    uint16 (y, x)
        An even count gives the mean of the middle two, rounded half to even; no observation gives 0.
    """
    if not len(stack):
        return np.zeros(stack.shape[1:], np.uint16)
    if not jit.compiled:
        return _median_plain(stack)
    result = np.empty(stack.shape[1:], np.uint16)
    _median(stack, result)
    return result


@jit
def _median(stack, result):  # type: ignore[no-untyped-def]
    days, height, width = stack.shape
    values = np.empty(days, np.int64)
    for i in range(height):
        for j in range(width):
            count = 0
            for day in range(days):
                value = np.int64(stack[day, i, j])
                if value == 0:
                    continue
                if days <= _INSERTION_SORT_LIMIT:
                    place = count
                    while place > 0 and values[place - 1] > value:
                        values[place] = values[place - 1]
                        place -= 1
                    values[place] = value
                else:
                    values[count] = value
                count += 1
            if count == 0:
                result[i, j] = 0
                continue
            if days > _INSERTION_SORT_LIMIT:
                values[:count].sort()
            total = values[(count - 1) // 2] + values[count // 2]
            half = total >> 1
            result[i, j] = half + (total & half & 1)


def _median_plain(stack: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Sort, so that zeros come first; the median is then found from the end."""
    ordered = np.sort(stack, axis=0)
    count = np.count_nonzero(stack, axis=0)
    first = len(stack) - count
    low = np.take_along_axis(ordered, np.minimum(first + (count - 1) // 2, len(stack) - 1)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(first + count // 2, len(stack) - 1)[None], axis=0)[0]
    total = low.astype(np.int64) + high
    half = total >> 1
    return np.where(count == 0, 0, half + (total & half & 1)).astype(np.uint16)
