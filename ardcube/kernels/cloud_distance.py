"""Compiled: exact Euclidean distances to the nearest cloudy pixel, up to a limit, on the grid of a classification."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit

_TOGETHER = 64
"""Pixels of a row whose distances are searched together."""
_STEPS = 8
"""Columns after which the search asks whether a nearer pixel is possible."""


@jit
def cloud_distances(clear, covered, start, stride, pixel, limit, metres):  # type: ignore[no-untyped-def]
    """Fill `metres` (y, x) with the distance to the nearest covered pixel that is not clear, in whole metres.

    Distances are those of centres of pixels of a height and a width, `pixel`, in metres. Without such a pixel within
    `limit`, the distance is `limit`. `clear` and `covered` are masks as in `ardcube.kernels.morphology`.
    """
    height, width = metres.shape
    tall, wide = pixel
    far, reach = np.uint16(limit / tall + 1), int(limit / wide)
    _rows_to_cloud(clear, covered, start, stride, far, metres)
    line = np.full(width + 2 * reach, np.inf)
    nearest = np.empty(_TOGETHER)
    most = np.float64(limit) * np.float64(limit)
    for i in range(height):
        rows, seen = metres[i], False
        for j in range(width):
            down = rows[j] * tall
            line[reach + j] = down * down if rows[j] < far else np.inf
            seen |= rows[j] < far
        if not seen:
            rows[:] = limit
            continue
        for first in range(0, width, _TOGETHER):
            count = min(_TOGETHER, width - first)
            _nearest_in_columns(line, first + reach, count, reach, wide, most, nearest)
            for j in range(count):
                rows[first + j] = np.rint(np.sqrt(nearest[j]))


@jit
def _rows_to_cloud(clear, covered, start, stride, far, rows):  # type: ignore[no-untyped-def]
    """Fill `rows` (y, x) with the number of rows to the nearest cloudy pixel of the column, at most `far`."""
    height, width = rows.shape
    last = np.full(width, far, np.uint16)
    for i in range(height):
        for j in range(width):
            at = start + i * stride + j // 64
            cloudy = (covered[at] & ~clear[at]) >> np.uint64(j % 64) & np.uint64(1)
            last[j] = np.uint16(0) if cloudy != 0 else min(np.uint16(last[j] + np.uint16(1)), far)
            rows[i, j] = last[j]
    last[:] = far
    for i in range(height - 1, -1, -1):
        for j in range(width):
            last[j] = min(rows[i, j], np.uint16(last[j] + np.uint16(1)))
            rows[i, j] = last[j]


@jit
def _nearest_in_columns(line, first, count, reach, wide, most, nearest):  # type: ignore[no-untyped-def]
    """Fill `nearest` with the least sum of squares of the distance to a column and of `line` there, at most `most`."""
    worst = 0.0
    for j in range(count):
        nearest[j] = min(line[first + j], most)
        worst = max(worst, nearest[j])
    step = 1
    while step <= reach and (step * wide) * (step * wide) < worst:
        for columns in range(step, min(step + _STEPS, reach + 1)):
            square = (columns * wide) * (columns * wide)
            before, after = line[first - columns :], line[first + columns :]
            for j in range(count):
                found = min(before[j], after[j]) + square
                nearest[j] = min(found, nearest[j])
        step += _STEPS
        worst = 0.0
        for j in range(count):
            worst = max(worst, nearest[j])


@jit
def sample_distances(metres, row, column, rows, columns, sampled):  # type: ignore[no-untyped-def]
    """Fill `sampled` (y, x) with the distances at `rows` and `columns` (y, x) of the raster; others are unchanged.

    The first pixel of `metres` is at `row` and `column` of the raster.
    """
    # Unsigned, so that a pixel before the first row or column gets a very large index.
    high, wide = np.uint32(metres.shape[0]), np.uint32(metres.shape[1])
    first_row, first_column = np.uint32(row), np.uint32(column)
    for i in range(sampled.shape[0]):
        for j in range(sampled.shape[1]):
            v, u = np.uint32(rows[i, j]) - first_row, np.uint32(columns[i, j]) - first_column
            if v < high and u < wide:
                sampled[i, j] = metres[v, u]
