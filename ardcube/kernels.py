"""Compiled kernels. Each has a plain NumPy twin beside its user, which gives the same bits where numba is missing.

Compiled without fastmath: additions keep their order, so that a pixel is the same wherever it is computed.
"""

# ruff: noqa: PLR1714 - `x in (0, nodata)` makes a tuple per tap

from __future__ import annotations

import numba
import numpy as np

jit = numba.njit(cache=True, nogil=True)

_UNROLLED = 4
_MOST_TAPS = 4096
"""Taps of a kernel along one axis; a cube coarser than that many source pixels finds an overview."""


@jit
def weigh(distance, kernel):  # type: ignore[no-untyped-def]
    """Weight of a tap at a distance in half widths: a triangle (1) or Keys' cubic (2)."""
    if kernel == 1:
        return 1.0 - distance
    if distance <= 1.0:
        return (1.5 * distance - 2.5) * distance * distance + 1.0
    return ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0


@jit
def _weigh_axis(centre, width, kernel, first, last, weights):  # type: ignore[no-untyped-def]
    """Fill the weights of the taps of one axis that lie within `first..last`; return the first tap and their number."""
    reach = width * kernel
    start = max(first, int(np.ceil(centre - 0.5 - reach)))
    stop = min(last, int(np.floor(centre - 0.5 + reach))) + 1
    for tap in range(start, stop):
        weights[tap - start] = weigh(abs(tap + 0.5 - centre) / width, kernel)
    return start, stop - start


@jit
def _sum_any(values, v0, u0, weights_v, taps_v, weights_u, taps_u, nodata, totals, partial):  # type: ignore[no-untyped-def]
    """Weighted sums of all taps, band by band, into `totals`; tell whether one of them is no data."""
    hole = False
    count = values.shape[2]
    for b in range(count):
        totals[b] = 0.0
    for k in range(taps_v):
        for b in range(count):
            partial[b] = 0.0
        for m in range(taps_u):
            for b in range(count):
                value = values[v0 + k, u0 + m, b]
                hole |= value == 0 or value == nodata
                partial[b] += weights_u[m] * value
        for b in range(count):
            totals[b] += weights_v[k] * partial[b]
    return hole


@jit
def _sum_four(values, v0, u0, weights_v, taps_v, weights_u, taps_u, nodata, totals):  # type: ignore[no-untyped-def]
    """What `_sum_any` does for four bands, the usual number, in registers: twice as fast."""
    hole = False
    total_0 = total_1 = total_2 = total_3 = 0.0
    for k in range(taps_v):
        part_0 = part_1 = part_2 = part_3 = 0.0
        for m in range(taps_u):
            weight = weights_u[m]
            tap = values[v0 + k, u0 + m]
            one, two, three, four = tap[0], tap[1], tap[2], tap[3]
            hole |= (one == 0) | (two == 0) | (three == 0) | (four == 0)
            if nodata != 0:
                hole |= (one == nodata) | (two == nodata) | (three == nodata) | (four == nodata)
            part_0 += weight * one
            part_1 += weight * two
            part_2 += weight * three
            part_3 += weight * four
        total_0 += weights_v[k] * part_0
        total_1 += weights_v[k] * part_1
        total_2 += weights_v[k] * part_2
        total_3 += weights_v[k] * part_3
    totals[0], totals[1], totals[2], totals[3] = total_0, total_1, total_2, total_3
    return hole


@jit
def add_up(block, target):  # type: ignore[no-untyped-def]
    """Fill (row, column) of `target` with the running sums along the rows of `block`: undoes TIFF's predictor 2.

    Sums are stored modulo the data type, as they were made.
    """
    for i in range(target.shape[0]):
        total = np.uint64(0)
        for j in range(target.shape[1]):
            total += np.uint64(block[i, j])
            target[i, j] = total


@jit
def fill(  # type: ignore[no-untyped-def]  # noqa: C901
    out, bands, wanted, xs, ys, steps_x, steps_y, values, row, column, c, a, f, e, kernel, nodata, shift
):
    """Fill what is wanted and still 0 in `out[bands]` from `values` (row, column, band); see `resample_into`."""
    height, width, count = values.shape
    weights_u = np.empty(_MOST_TAPS)
    weights_v = np.empty(_MOST_TAPS)
    totals = np.empty(count)
    partial = np.empty(count)
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            if not wanted[i, j]:
                continue
            u = (xs[i, j] - c) / a
            v = (ys[i, j] - f) / e
            near_u = int(np.floor(u)) - column
            near_v = int(np.floor(v)) - row
            if near_u < 0 or near_v < 0 or near_u >= width or near_v >= height:
                continue
            if kernel == 0:
                for b in range(count):
                    nearest = values[near_v, near_u, b]
                    if out[bands[b], i, j] == 0 and nearest != 0 and nearest != nodata:
                        out[bands[b], i, j] = nearest if shift == 0 else min(max(nearest + shift, 1), 65535)
                continue
            width_u = max(1.0, steps_x[i, j] / abs(a))
            width_v = max(1.0, steps_y[i, j] / abs(e))
            u0, taps_u = _weigh_axis(u, width_u, kernel, column, column + width - 1, weights_u)
            v0, taps_v = _weigh_axis(v, width_v, kernel, row, row + height - 1, weights_v)
            u0 -= column
            v0 -= row
            across = 0.0
            for m in range(taps_u):
                across += weights_u[m]
            whole = 0.0
            for k in range(taps_v):
                whole += weights_v[k] * across
            if count == _UNROLLED:
                hole = _sum_four(values, v0, u0, weights_v, taps_v, weights_u, taps_u, nodata, totals)
            else:
                hole = _sum_any(values, v0, u0, weights_v, taps_v, weights_u, taps_u, nodata, totals, partial)
            for b in range(count):
                nearest = values[near_v, near_u, b]
                if out[bands[b], i, j] != 0 or nearest == 0 or nearest == nodata:
                    continue
                total = totals[b]
                weights = whole
                if hole:
                    total = 0.0
                    weights = 0.0
                    for k in range(taps_v):
                        valid_total = 0.0
                        valid_weights = 0.0
                        for m in range(taps_u):
                            value = values[v0 + k, u0 + m, b]
                            if value != 0 and value != nodata:
                                valid_total += weights_u[m] * value
                                valid_weights += weights_u[m]
                        total += weights_v[k] * valid_total
                        weights += weights_v[k] * valid_weights
                # The lobes of a cubic kernel may cancel beside a hole.
                mean = float(nearest) if weights == 0.0 else min(max(np.rint(total / weights), 1.0), 65535.0)
                out[bands[b], i, j] = int(min(max(mean + shift, 1.0), 65535.0))


@jit
def median_rows(stack, pairs, result):  # type: ignore[no-untyped-def]
    """Median over axis 0 of the values that are not 0, row by row through a sorting network.

    Values are sorted less one, so that 0, no observation, wraps round to the largest and ends up last.
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
