"""Compiled: choose one observation for each pixel, and copy all its bands.

Stacks (band, day, y, x) have 0 in all bands of a pixel or in none. Of equal observations the earliest is chosen.
"""

from __future__ import annotations

import numpy as np

from ardcube.kernels.geomedian import medians_of_row
from ardcube.kernels.jit import jit

_PARTS = 2.0**20
"""Parts of a digital number to which distances are rounded. The sum of 1000 distances of 16 bands is exact then, and
does not depend on the order of observations."""


@jit
def medoid_rows(stack, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen` (y, x) with the day whose sum of distances to the others is smallest; -1 without a day."""
    bands, days, height, width = stack.shape
    totals = np.empty((days, width), np.float64)
    squares = np.empty(width, np.float64)
    least = np.empty(width, np.float64)
    for i in range(height):
        totals[:] = 0
        for day in range(days):
            for other in range(day):
                squares[:] = 0
                for band in range(bands):
                    ones, others = stack[band, day, i], stack[band, other, i]
                    for j in range(width):
                        difference = np.float64(ones[j]) - np.float64(others[j])
                        squares[j] += difference * difference
                ones, others, total, other_total = stack[0, day, i], stack[0, other, i], totals[day], totals[other]
                for j in range(width):
                    distance = np.rint(np.sqrt(squares[j]) * _PARTS)
                    distance = distance if ones[j] != 0 and others[j] != 0 else 0.0
                    total[j] += distance
                    other_total[j] += distance
        _choose_least(stack[0, :, i], totals, least, chosen[i])


@jit
def nearest_rows(stack, pairs, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen` (y, x) with the day nearest to the median of each band; -1 without a day."""
    bands, days, height, width = stack.shape
    medians = np.empty((bands, width), np.float64)
    squares = np.empty((days, width), np.float64)
    least = np.empty(width, np.float64)
    for i in range(height):
        medians_of_row(stack, i, pairs, medians)
        squares[:] = 0
        for day in range(days):
            for band in range(bands):
                numbers, middle, square = stack[band, day, i], medians[band], squares[day]
                for j in range(width):
                    difference = numbers[j] - middle[j]
                    square[j] += difference * difference
        _choose_least(stack[0, :, i], squares, least, chosen[i])


@jit
def _choose_least(numbers, costs, least, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen` (x,) with the first day of the smallest of `costs` (day, x), where `numbers` (day, x) are not 0."""
    days, width = numbers.shape
    least[:] = np.inf
    chosen[:] = -1
    for day in range(days):
        for j in range(width):
            if numbers[day, j] != 0 and costs[day, j] < least[j]:
                least[j] = costs[day, j]
                chosen[j] = day


@jit
def take_rows(stack, chosen, result):  # type: ignore[no-untyped-def]
    """Copy all bands of the chosen day of each pixel to `result` (y, x, band); a pixel of -1 is left unchanged."""
    bands, _, height, width = stack.shape
    for i in range(height):
        for band in range(bands):
            for j in range(width):
                if chosen[i, j] >= 0:
                    result[i, j, band] = stack[band, chosen[i, j], i, j]
