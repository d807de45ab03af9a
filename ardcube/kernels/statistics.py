"""Compiled: statistics over the days of a stack."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit
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


@jit
def median_rows(stack, pairs, result):  # type: ignore[no-untyped-def]
    """Fill `result` (y, x) with the medians over axis 0 of the values that are not 0, by a sorting network.

    One is subtracted before sorting, so that 0, which means no observation, wraps around to the largest number and is
    sorted last. `pairs` (n, 2) are the days that the network compares and exchanges.
    """
    days, height, width = stack.shape
    lanes = np.empty((days, width), np.uint16)
    count = np.empty(width, np.int64)
    for i in range(height):
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
        for j in range(width):
            if count[j] == 0:
                result[i, j] = 0
                continue
            total = np.int64(lanes[(count[j] - 1) // 2, j]) + np.int64(lanes[count[j] // 2, j]) + 2
            half = total >> 1
            result[i, j] = half + (total & half & 1)
