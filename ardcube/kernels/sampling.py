"""Compiled: nearest pixels, and weighted means of the valid source pixels under a kernel."""

# ruff: noqa: PLR1714 - `x in (0, nodata)` makes a tuple per tap

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit
from ardcube.kernels.layout import EDGE


@jit
def nearest(out, bands, wanted, rows, columns, values, row, column, nodata, shift):  # type: ignore[no-untyped-def]
    """Fill the wanted pixels of `out[bands]` that are still 0 from the pixels at `rows` and `columns` of the raster.

    Without branches, so that several offsets are computed at once; the pixels are then gathered one by one.
    """
    height, width, lanes = values.shape
    numbers, offsets = values.reshape(values.size), np.empty(wanted.shape[1], np.int64)
    # Unsigned, so that a pixel before the first row or column gets a very large index.
    high, wide, first_row, first_column = np.uint32(height), np.uint32(width), np.uint32(row), np.uint32(column)
    for i in range(wanted.shape[0]):
        down, along, line_wanted = rows[i], columns[i], wanted[i]
        for j in range(np.uint64(len(offsets))):
            v, u = np.uint32(down[j]) - first_row, np.uint32(along[j]) - first_column
            inside = line_wanted[j] & (v < high) & (u < wide)
            offsets[j] = (np.int64(v) * width + np.int64(u)) * lanes if inside else -1
        for b in range(len(bands)):
            line = out[bands[b], i]
            for j in range(np.uint64(len(offsets))):
                number = numbers[np.uint64(max(offsets[j], 0) + b)]
                take = (offsets[j] >= 0) & (line[j] == 0) & (number != 0) & (number != nodata)
                line[j] = _shifted(number, shift) if take else line[j]


@jit
def weigh(distance, width, kernel):  # type: ignore[no-untyped-def]
    """Return the weight of a tap, not normalised, of a triangle (kernel 1) or Keys' cubic (kernel 2).

    `width` is the half width of the triangle, and the width of a lobe of the cubic.
    """
    if kernel == 1:
        return width - distance
    distance = distance * (1.0 / width)
    if distance <= 1.0:
        return (1.5 * distance - 2.5) * distance * distance + 1.0
    return ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0


@jit
def _weigh_axis(centre, width, kernel, start, stop, weights):  # type: ignore[no-untyped-def]
    """Fill the weights of the taps of one axis within `start..stop`, half-open; return the first tap and the count."""
    half_width = width * kernel
    first = max(start, int(np.floor(centre - 0.5 - half_width)) + 1)
    taps = min(stop, int(np.floor(centre - 0.5 + half_width)) + 1) - first
    for m in range(taps):
        weights[m] = weigh(abs(first + m + 0.5 - centre), width, kernel)
    return first, taps


@jit
def weighted(  # type: ignore[no-untyped-def]
    out, bands, wanted, x, y, step_x, step_y, values, row, column, c, a, f, e, kernel, nodata, shift
):
    """Fill the wanted pixels of `out[bands]` that are still 0 with weighted means of the valid taps of any kernel."""
    height, width, _ = values.shape
    weights_u = np.empty(width + 1)
    weights_v = np.empty(height + 1)
    across, down = 1.0 / abs(a), 1.0 / abs(e)
    for i in range(wanted.shape[0]):
        for j in range(wanted.shape[1]):
            if not wanted[i, j]:
                continue
            u, v = (x[i, j] - c) / a, (y[i, j] - f) / e
            near_u, near_v = int(np.floor(u + EDGE)) - column, int(np.floor(v + EDGE)) - row
            if near_u < 0 or near_v < 0 or near_u >= width or near_v >= height:
                continue
            width_u, width_v = max(1.0, step_x[i, j] * across), max(1.0, step_y[i, j] * down)
            first_u, taps_u = _weigh_axis(u, width_u, kernel, column, column + width, weights_u)
            first_v, taps_v = _weigh_axis(v, width_v, kernel, row, row + height, weights_v)
            for b in range(len(bands)):
                number = values[near_v, near_u, b]
                if out[bands[b], i, j] != 0 or number == 0 or number == nodata:
                    continue
                total = 0.0
                total_weight = 0.0
                for m in range(taps_u):
                    column_sum = 0.0
                    column_weights = 0.0
                    for k in range(taps_v):
                        value = values[first_v - row + k, first_u - column + m, b]
                        if value != 0 and value != nodata:
                            column_sum += weights_v[k] * value
                            column_weights += weights_v[k]
                    total += weights_u[m] * column_sum
                    total_weight += weights_u[m] * column_weights
                # The lobes of a cubic kernel may cancel next to a hole.
                mean = float(number) if total_weight == 0.0 else min(max(np.rint(total / total_weight), 1.0), 65535.0)
                out[bands[b], i, j] = _shifted(mean, shift)


@jit
def _shifted(number, shift):  # type: ignore[no-untyped-def]
    """Return a digital number plus `shift`, rounded half to even; a valid number stays within 1..65535."""
    return int(number) if shift == 0 else int(min(max(np.rint(number + shift), 1.0), 65535.0))
