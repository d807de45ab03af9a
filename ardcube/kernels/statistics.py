"""Compiled: statistics over the days of a stack."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit, jit_inline
from ardcube.kernels.layout import FLAGS_TO_BITS


@jit
def observe(stack, observed):  # type: ignore[no-untyped-def]
    """Set the bits of `observed` (day, y, byte) of pixels that are not 0 in a band of `stack` (band, day, y, x)."""
    bands, days, height, width = stack.shape
    flags = np.zeros(8 * observed.shape[2], np.uint8)
    eights = flags.view(np.uint64)
    for day, i in np.ndindex(days, height):
        flags[:] = 0
        for band in range(bands):
            numbers = stack[band, day, i]
            for j in range(np.uint64(width)):
                flags[j] |= numbers[j] != 0
        for byte in range(np.uint64(observed.shape[2])):
            observed[day, i, byte] |= (eights[byte] * FLAGS_TO_BITS) >> np.uint64(56)


@jit_inline
def sort_row(stack, i, pairs, lanes, count):  # type: ignore[no-untyped-def]
    """Fill `lanes` (day, x) with the sorted numbers of row `i` of `stack` (day, y, x), and `count` (x) with how many.

    One is subtracted before sorting, so that 0, which means no observation, wraps around to the largest number and is
    sorted last. `pairs` (n, 2) are the days that the sorting network compares and exchanges.
    """
    days, _, width = stack.shape
    count[:] = 0
    for day in range(days):
        for j in range(width):
            value = stack[day, i, j]
            count[j] += value != 0
            lanes[day, j] = value - np.uint16(1)
    for pair in range(pairs.shape[0]):
        low, high = lanes[pairs[pair, 0]], lanes[pairs[pair, 1]]
        for j in range(width):
            one, other = low[j], high[j]
            low[j] = min(one, other)
            high[j] = max(one, other)


@jit_inline
def half_to_even(total):  # type: ignore[no-untyped-def]
    """Return half of a whole number, rounded half to even."""
    half = total >> 1
    return half + (total & half & 1)


@jit
def median_rows(stack, pairs, result):  # type: ignore[no-untyped-def]
    """Fill `result` (y, x) with the medians over axis 0 of the values that are not 0; `pairs` as in `sort_row`."""
    days, height, width = stack.shape
    lanes = np.empty((days, width), np.uint16)
    count = np.empty(width, np.int64)
    for i in range(height):
        sort_row(stack, i, pairs, lanes, count)
        for j in range(width):
            if count[j] == 0:
                result[i, j] = 0
                continue
            total = np.int64(lanes[(count[j] - 1) // 2, j]) + np.int64(lanes[count[j] // 2, j]) + 2
            result[i, j] = half_to_even(total)


@jit
def percentile_rows(stack, pairs, share, whole, result):  # type: ignore[no-untyped-def]
    """Fill `result` (y, x) with a percentile over axis 0 of the values that are not 0: `share` of `whole`.

    `pairs` are those of `sort_row`. Numbers are interpolated in whole numbers, so that each rounding is exact.
    """
    days, height, width = stack.shape
    lanes = np.empty((days, width), np.uint16)
    count = np.empty(width, np.int64)
    for i in range(height):
        sort_row(stack, i, pairs, lanes, count)
        for j in range(width):
            if count[j] == 0:
                result[i, j] = 0
                continue
            position = (count[j] - 1) * share
            first = position // whole
            rest = position - first * whole
            low_value = np.int64(lanes[first, j]) + 1
            high_value = np.int64(lanes[min(first + 1, count[j] - 1), j]) + 1
            total = (high_value - low_value) * rest
            up = total // whole
            twice = 2 * (total - up * whole)
            value = low_value + up
            value += twice > whole or (twice == whole and value & 1)
            result[i, j] = value


@jit
def mean_rows(stack, result):  # type: ignore[no-untyped-def]
    """Fill `result` (y, x) with the means over axis 0 of the values that are not 0, rounded half to even.

    Totals are whole numbers, so that the order of days changes nothing.
    """
    days, height, width = stack.shape
    count, total = np.empty(width, np.int64), np.empty(width, np.int64)
    for i in range(height):
        count[:] = 0
        total[:] = 0
        for day in range(days):
            for j in range(width):
                value = stack[day, i, j]
                count[j] += value != 0
                total[j] += value
        for j in range(width):
            # The quotient of two whole numbers is a tie in 64 bit only if it is one exactly.
            result[i, j] = np.rint(total[j] / max(count[j], 1))


@jit
def deviation_rows(stack, result):  # type: ignore[no-untyped-def]
    """Fill `result` (y, x) with the standard deviations over axis 0 of the values that are not 0.

    A pixel without such a value is left unchanged. The variance is computed in whole numbers.
    """
    days, height, width = stack.shape
    count, total, squares = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
    for i in range(height):
        count[:] = 0
        total[:] = 0
        squares[:] = 0
        for day in range(days):
            for j in range(width):
                value = np.int64(stack[day, i, j])
                count[j] += value != 0
                total[j] += value
                squares[j] += value * value
        for j in range(width):
            if count[j] > 0:
                variance = count[j] * squares[j] - total[j] * total[j]
                result[i, j] = np.rint(np.sqrt(np.float64(variance)) / count[j])


@jit
def spread_rows(stack, pairs, result):  # type: ignore[no-untyped-def]
    """Fill `result` (y, x) with the median absolute deviations over axis 0 of the values that are not 0.

    Deviations are those from the median, rounded half to even, and their median is rounded alike. `pairs` are those of
    `sort_row`. A pixel without a value is left unchanged.
    """
    days, height, width = stack.shape
    lanes = np.empty((days, width), np.uint16)
    count = np.empty(width, np.int64)
    medians = np.empty(width, np.int64)
    distances = np.empty((days, 1, width), np.uint16)
    for i in range(height):
        sort_row(stack, i, pairs, lanes, count)
        for j in range(width):
            if count[j] > 0:
                total = np.int64(lanes[(count[j] - 1) // 2, j]) + np.int64(lanes[count[j] // 2, j]) + 2
                medians[j] = half_to_even(total)
        for day in range(days):
            for j in range(width):
                value = np.int64(stack[day, i, j])
                distances[day, 0, j] = abs(value - medians[j]) + 1 if value != 0 else 0
        sort_row(distances, 0, pairs, lanes, count)
        for j in range(width):
            if count[j] > 0:
                total = np.int64(lanes[(count[j] - 1) // 2, j]) + np.int64(lanes[count[j] // 2, j])
                result[i, j] = half_to_even(total)


@jit
def drop_incomplete(stack):  # type: ignore[no-untyped-def]
    """Set the pixels of each day that lack a band to 0 in all bands of `stack` (band, day, y, x)."""
    bands, days, height, width = stack.shape
    keep = np.empty(width, np.uint16)
    for day, i in np.ndindex(days, height):
        keep[:] = 65535
        for band in range(bands):
            numbers = stack[band, day, i]
            for j in range(width):
                keep[j] &= np.uint16(0) if numbers[j] == 0 else np.uint16(65535)
        for band in range(bands):
            numbers = stack[band, day, i]
            for j in range(width):
                numbers[j] &= keep[j]
