"""Compiled: bilinear resampling of the pixels all of whose taps are valid, which are nearly all pixels.

The result is that of `sampling.weighted`, bit for bit, in a fraction of the time: no branch within a pixel, and four
bands, or four pixels of one band, share a SIMD register.
"""

from __future__ import annotations

import math

import numpy as np

from ardcube.kernels.interpolate import any_wanted, fill_run, node_fractions, runs_between_nodes, start_row
from ardcube.kernels.jit import jit, jit_inline
from ardcube.kernels.layout import EDGE, HOLE_BITS, LANES
from ardcube.kernels.simd import broadcast, load, load_float64, maximum, minimum, prefetch, rint, split, transpose
from ardcube.kernels.triangle import multiply_sums, place_triangles, weigh_taps

_MAX_TAPS = 32
"""Taps per axis. A raster without overviews may need more; its pixels are left to `sampling.weighted`."""


@jit
def _to_digital_numbers(mean, shift):  # type: ignore[no-untyped-def]
    """Round four means to digital numbers, add `shift` and round again; a valid number stays within 1..65535."""
    return split(minimum(maximum(rint(rint(mean) + broadcast(shift)), broadcast(1.0)), broadcast(65535.0)))


@jit
def _has_hole(holes, low_row, high_row, low_column, high_column):  # type: ignore[no-untyped-def]
    """Return whether data may be missing in a rectangle of pixels."""
    found = False
    for p in range(low_row >> HOLE_BITS, (high_row >> HOLE_BITS) + 1):
        for q in range(low_column >> HOLE_BITS, (high_column >> HOLE_BITS) + 1):
            found |= holes[p, q]
    return found


@jit
def _is_missing(values, row, column, nodata):  # type: ignore[no-untyped-def]
    """Return whether a source pixel has data in no band, or is outside of the window that was read."""
    height, width, lanes = values.shape
    if row < 0 or column < 0 or row >= height or column >= width:
        return True
    found = False
    for lane in range(lanes):
        number = values[row, column, lane]
        found |= (number != 0) & (number != nodata)
    return not found


@jit_inline
def _fill_pixel(  # type: ignore[no-untyped-def]
    one, two, three, four, at, j, offset, stride, taps_u, taps_v, weights_u, weights_v, norms, numbers, shift
):
    """Fill pixel `j` of a run, the pixel `at` of a row, in those of four bands where it is still 0."""
    total = broadcast(0.0)
    for m in range(0, taps_u, LANES):
        c0 = c1 = c2 = c3 = broadcast(0.0)
        for k in range(taps_v):
            weight, tap = broadcast(weights_v[k, j]), offset + k * stride + m * LANES
            c0 += weight * load(numbers, tap)
            c1 += weight * load(numbers, tap + LANES)
            c2 += weight * load(numbers, tap + 2 * LANES)
            if m + 3 < taps_u:  # three are most frequent
                c3 += weight * load(numbers, tap + 3 * LANES)
        total = total + broadcast(weights_u[m, j]) * c0 + broadcast(weights_u[m + 1, j]) * c1
        total = total + broadcast(weights_u[m + 2, j]) * c2 + broadcast(weights_u[m + 3, j]) * c3
    mean_0, mean_1, mean_2, mean_3 = _to_digital_numbers(total / broadcast(norms[j]), shift)
    one[at] = int(mean_0) if one[at] == 0 else one[at]
    two[at] = int(mean_1) if two[at] == 0 else two[at]
    three[at] = int(mean_2) if three[at] == 0 else three[at]
    four[at] = int(mean_3) if four[at] == 0 else four[at]


@jit
def _fill_four(  # type: ignore[no-untyped-def]
    one, two, three, four, start, count, complete, offsets, stride, taps_u, taps_v, weights_u, weights_v, norms,
    numbers, shift,
):  # fmt: skip
    """Fill the `complete` pixels that are still 0, one pixel of four bands after the other.

    A kernel has three or four taps per axis if an overview is read. For these counts the loops are unrolled.
    """
    unrolled = 3 if taps_u <= 3 else 4 if taps_u == 4 else 0
    for j in range(count):
        if not complete[j]:
            continue
        offset, at = offsets[j], start + j
        # The next row of output pixels begins about two source rows further down.
        prefetch(numbers, offset + (taps_v + 1) * stride)
        if unrolled == 3 and taps_v == 3:
            _fill_pixel(one, two, three, four, at, j, offset, stride, 3, 3, weights_u, weights_v, norms, numbers, shift)
        elif unrolled == 3 and taps_v == 4:
            _fill_pixel(one, two, three, four, at, j, offset, stride, 3, 4, weights_u, weights_v, norms, numbers, shift)
        elif unrolled == 4 and taps_v == 3:
            _fill_pixel(one, two, three, four, at, j, offset, stride, 4, 3, weights_u, weights_v, norms, numbers, shift)
        elif unrolled == 4 and taps_v == 4:
            _fill_pixel(one, two, three, four, at, j, offset, stride, 4, 4, weights_u, weights_v, norms, numbers, shift)
        else:
            _fill_pixel(
                one, two, three, four, at, j, offset, stride, taps_u, taps_v, weights_u, weights_v, norms, numbers,
                shift,
            )  # fmt: skip


@jit
def _down(numbers, offset, stride, taps, weights, j):  # type: ignore[no-untyped-def]
    """Return the weighted sums down four columns from `offset` on, by the weights (tap, pixel) of pixel `j`."""
    column = broadcast(0.0)
    for k in range(taps):
        column += broadcast(weights[k, j]) * load(numbers, offset)
        offset += stride
    return column


@jit
def _fill_one(  # type: ignore[no-untyped-def]
    band, start, count, complete, offsets, stride, taps_u, taps_v, weights_u, weights_v, norms, numbers, shift
):
    """Fill the `complete` pixels of one band that are still 0, four pixels at once, four columns of each at a time."""
    for j in range(0, count, LANES):
        if not any_wanted(complete, j, j + LANES):
            continue
        prefetch(numbers, offsets[j] + (taps_v + 1) * stride)
        total = broadcast(0.0)
        for m in range(0, taps_u, LANES):
            c0, c1, c2, c3 = transpose(
                _down(numbers, offsets[j] + m, stride, taps_v, weights_v, j),
                _down(numbers, offsets[j + 1] + m, stride, taps_v, weights_v, j + 1),
                _down(numbers, offsets[j + 2] + m, stride, taps_v, weights_v, j + 2),
                _down(numbers, offsets[j + 3] + m, stride, taps_v, weights_v, j + 3),
            )
            total = total + load_float64(weights_u[m], j) * c0 + load_float64(weights_u[m + 1], j) * c1
            total = total + load_float64(weights_u[m + 2], j) * c2 + load_float64(weights_u[m + 3], j) * c3
        means = _to_digital_numbers(total / load_float64(norms, j), shift)
        for lane in range(LANES):
            if complete[j + lane] and band[start + j + lane] == 0:
                band[start + j + lane] = int(means[lane])


@jit
def _find_complete(  # type: ignore[no-untyped-def]
    wanted, remaining, start, count, first_u, first_v, distance_u, distance_v, taps_padded, taps_u, taps_v,
    values, holes, nodata, complete, offsets,
):  # fmt: skip
    """Find the pixels of a run near holes or edges whose taps are all valid, and the offsets of their first taps.

    Other pixels that have a value are marked as `remaining`.
    """
    height, width, lanes = values.shape
    for j in range(count):
        if not wanted[start + j]:
            continue
        u, v = np.int64(first_u[j]), np.int64(first_v[j])
        near_u, near_v = math.floor(u + 0.5 - distance_u[j] + EDGE), math.floor(v + 0.5 - distance_v[j] + EDGE)
        if _is_missing(values, near_v, near_u, nodata):
            continue
        inside = u >= 0 and v >= 0 and u + taps_padded <= width and v + taps_v <= height
        if not inside or _has_hole(holes, v, v + taps_v - 1, u, u + taps_u - 1):
            remaining[start + j] = True
            continue
        complete[j], offsets[j] = True, (v * width + u) * lanes


@jit
def fill_complete(  # type: ignore[no-untyped-def]
    one, two, three, four, wanted, remaining, nodes, rows, cols, values, holes, row, column, c, a, f, e, nodata, shift
):  # fmt: skip
    """Fill the wanted pixels that are still 0 in four bands (y, x), where all taps are valid.

    Pixels with a missing tap are marked in `remaining` (y, x). A single band is passed four times. The pixels between
    two nodes are computed together, all with the same number of taps.
    """
    height, width, lanes = values.shape
    numbers, stride = values.reshape(values.size), width * lanes
    step = nodes.step
    line, ts = np.empty((4, nodes.x.shape[1])), node_fractions(step)
    size = step + LANES
    x, y, step_x, step_y = np.empty((4, size))
    half_u, half_v, span_u, span_v, distance_u, distance_v = np.empty((6, size))
    first_u, first_v = np.empty((2, size), np.int32)
    complete, offsets = np.empty(size, np.bool_), np.empty(size, np.int64)
    weights_u, weights_v = np.empty((2, _MAX_TAPS, size))
    sums, norms = np.empty((2, size))
    runs = runs_between_nodes(cols, wanted.shape[1], step)
    for i in range(wanted.shape[0]):
        start_row(nodes, rows + i, ts, line)
        for n in range(len(runs)):
            start, stop, first, node = runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3]
            if not any_wanted(wanted[i], start, stop):
                continue
            count = stop - start
            fill_run(nodes, line, rows + i, node, ts, first, count, x, y, step_x, step_y)
            low_u, high_u, taps_u = place_triangles(x, step_x, count, c, a, column, half_u, first_u, span_u, distance_u)
            low_v, high_v, taps_v = place_triangles(y, step_y, count, f, e, row, half_v, first_v, span_v, distance_v)
            taps_padded = -(-taps_u // LANES) * LANES
            if not (0 < taps_u <= _MAX_TAPS and 0 < taps_v <= _MAX_TAPS):
                remaining[i, start:stop] = wanted[i, start:stop]
                continue
            all_complete = low_u >= 0 and low_v >= 0 and high_u + taps_padded <= width and high_v + taps_v <= height
            all_complete = all_complete and not _has_hole(holes, low_v, high_v + taps_v - 1, low_u, high_u + taps_u - 1)
            complete[:], offsets[:] = False, 0
            if all_complete:
                for j in range(np.uint64(count)):
                    complete[j] = wanted[i, np.uint64(start) + j]
                    offsets[j] = (np.int64(first_v[j]) * width + np.int64(first_u[j])) * lanes
            else:
                _find_complete(
                    wanted[i], remaining[i], start, count, first_u, first_v, distance_u, distance_v, taps_padded,
                    taps_u, taps_v, values, holes, nodata, complete, offsets,
                )  # fmt: skip
            if not any_wanted(complete, 0, count):
                continue
            weigh_taps(half_v, span_v, distance_v, count, taps_v, weights_v, sums)
            weigh_taps(half_u, span_u, distance_u, count, taps_padded, weights_u, norms)
            multiply_sums(weights_u, taps_padded, sums, count, norms)
            if lanes == 1:
                _fill_one(
                    one[i], start, count, complete, offsets, stride, taps_u, taps_v, weights_u, weights_v, norms,
                    numbers, shift,
                )  # fmt: skip
            else:
                _fill_four(
                    one[i], two[i], three[i], four[i], start, count, complete, offsets, stride, taps_u, taps_v,
                    weights_u, weights_v, norms, numbers, shift,
                )  # fmt: skip
