"""Compiled: bilinear resampling of pixels all of whose taps are valid, which nearly all of them are.

What `kernels.weighted` would give here, to the bit, in a fraction of its time: nothing branches within a pixel, and
four bands, or four pixels of one band, share a vector register.
"""

from __future__ import annotations

import math

import numpy as np

from ardcube.kernels.interpolate import between_nodes, line_of_nodes
from ardcube.kernels.jit import jit, jit_inline
from ardcube.kernels.layout import HOLE_BITS, LANES
from ardcube.kernels.runs import any_of, runs_between_nodes, shares_between
from ardcube.kernels.simd import (
    floor,
    larger,
    load,
    load_doubles,
    magnitude,
    prefetch,
    rounded,
    smaller,
    split,
    spread,
    store,
    store_whole,
    transposed,
    where_at_most,
)

_MOST_TAPS = 32
"""Of one axis: a raster without overviews may want more, and is then looked at tap by tap."""


@jit
def _triangles(centres, steps, count, origin, size, start, halves, firsts, spans, aways):  # type: ignore[no-untyped-def]
    """Prepare the triangles of some pixels along one axis of the source.

    Of each pixel: half the width, first tap counted from `start`, how many taps follow it, and how far its middle lies
    after the pixel's centre. Returns the least and the largest first tap, and how many taps there are at most: 0 where
    a pixel lies nowhere. All is worked out from the corner of the whole raster, so that no rounding depends on the
    part that was read.
    """
    half, one = spread(0.5), spread(1.0)
    low, high, most, nowhere = spread(np.inf), spread(-np.inf), one, spread(0.0)
    for j in range(0, count, LANES):
        centre = (load_doubles(centres, j) - spread(origin)) / spread(size)
        width = larger(load_doubles(steps, j) * spread(1.0 / abs(size)), one)
        first, last = floor(centre - half - width) + one, floor(centre - half + width)
        store(halves, j, width)
        store(spans, j, last - first)
        store(aways, j, first + half - centre)
        first = first - spread(float(start))
        store_whole(firsts, j, first)
        low, high, most = smaller(low, first), larger(high, first), larger(most, width)
        nowhere = nowhere + (last - last)  # not a number, if that is no number
    lost = split(nowhere)
    if not np.isfinite(lost[0] + lost[1] + lost[2] + lost[3]):
        return 0, 0, 0
    return int(min(split(low))), int(max(split(high))), math.ceil(2.0 * max(split(most)))


@jit
def _weigh(halves, spans, aways, count, taps, weights, sums):  # type: ignore[no-untyped-def]
    """Weights (tap, pixel) of triangles, not normalised, 0 beyond a triangle; and their sums."""
    for j in range(0, count, LANES):
        half, span, away = load_doubles(halves, j), load_doubles(spans, j), load_doubles(aways, j)
        total = spread(0.0)
        for k in range(taps):
            tap = spread(float(k))
            weight = where_at_most(half - magnitude(tap + away), tap, span)
            store(weights[k], j, weight)
            total += weight
        store(sums, j, total)


@jit
def _add_up(weights, taps, sums, count, wholes):  # type: ignore[no-untyped-def]
    """Sum of the weights of all taps of each pixel: those of one axis, times the sums of the other."""
    for j in range(0, count, LANES):
        whole, other = spread(0.0), load_doubles(sums, j)
        for m in range(taps):
            whole += load_doubles(weights[m], j) * other
        store(wholes, j, whole)


@jit
def _as_numbers(mean, shift):  # type: ignore[no-untyped-def]
    """Four means as digital numbers that stay valid when `shift` is added."""
    return split(smaller(larger(rounded(mean) + spread(float(shift)), spread(1.0)), spread(65535.0)))


@jit
def _is_hole(holes, low_row, high_row, low_column, high_column):  # type: ignore[no-untyped-def]
    """Whether data may be missing in a rectangle of pixels."""
    found = False
    for p in range(low_row >> HOLE_BITS, (high_row >> HOLE_BITS) + 1):
        for q in range(low_column >> HOLE_BITS, (high_column >> HOLE_BITS) + 1):
            found |= holes[p, q]
    return found


@jit
def _is_missing(values, row, column, nodata):  # type: ignore[no-untyped-def]
    """Whether no band has data in a source pixel, which may lie beyond the part that was read."""
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
    one, two, three, four, at, j, place, stride, taps_u, taps_v, weights_u, weights_v, wholes, numbers, shift
):
    """Fill pixel `j`, which is the one `at` that place of four bands, where it is still 0."""
    total = spread(0.0)
    for m in range(0, taps_u, LANES):
        c0 = c1 = c2 = c3 = spread(0.0)
        for k in range(taps_v):
            weight, tap = spread(weights_v[k, j]), place + k * stride + m * LANES
            c0 += weight * load(numbers, tap)
            c1 += weight * load(numbers, tap + LANES)
            c2 += weight * load(numbers, tap + 2 * LANES)
            if m + 3 < taps_u:  # three are most frequent
                c3 += weight * load(numbers, tap + 3 * LANES)
        total = total + spread(weights_u[m, j]) * c0 + spread(weights_u[m + 1, j]) * c1
        total = total + spread(weights_u[m + 2, j]) * c2 + spread(weights_u[m + 3, j]) * c3
    mean_0, mean_1, mean_2, mean_3 = _as_numbers(total / spread(wholes[j]), shift)
    one[at] = int(mean_0) if one[at] == 0 else one[at]
    two[at] = int(mean_1) if two[at] == 0 else two[at]
    three[at] = int(mean_2) if three[at] == 0 else three[at]
    four[at] = int(mean_3) if four[at] == 0 else four[at]


@jit
def _fill_four(  # type: ignore[no-untyped-def]
    one, two, three, four, start, count, here, places, stride, taps_u, taps_v, weights_u, weights_v, wholes,
    numbers, shift,
):  # fmt: skip
    """Fill pixels of four bands that are `here` and still 0: the four bands of one after the other.

    Overviews leave three or four taps, for which there is code without loops.
    """
    few = 3 if taps_u <= 3 else 4 if taps_u == 4 else 0
    for j in range(count):
        if not here[j]:
            continue
        place, at = places[j], start + j
        # The next row of pixels begins about two source pixels further down.
        prefetch(numbers, place + (taps_v + 1) * stride)
        if few == 3 and taps_v == 3:
            _fill_pixel(one, two, three, four, at, j, place, stride, 3, 3, weights_u, weights_v, wholes, numbers, shift)
        elif few == 3 and taps_v == 4:
            _fill_pixel(one, two, three, four, at, j, place, stride, 3, 4, weights_u, weights_v, wholes, numbers, shift)
        elif few == 4 and taps_v == 3:
            _fill_pixel(one, two, three, four, at, j, place, stride, 4, 3, weights_u, weights_v, wholes, numbers, shift)
        elif few == 4 and taps_v == 4:
            _fill_pixel(one, two, three, four, at, j, place, stride, 4, 4, weights_u, weights_v, wholes, numbers, shift)
        else:
            _fill_pixel(
                one, two, three, four, at, j, place, stride, taps_u, taps_v, weights_u, weights_v, wholes, numbers,
                shift,
            )  # fmt: skip


@jit
def _down(numbers, place, stride, taps, weights, j):  # type: ignore[no-untyped-def]
    """Sums of four columns from `place` on, by the weights (tap, pixel) of pixel `j`."""
    column = spread(0.0)
    for k in range(taps):
        column += spread(weights[k, j]) * load(numbers, place)
        place += stride
    return column


@jit
def _fill_one(  # type: ignore[no-untyped-def]
    band, start, count, here, places, stride, taps_u, taps_v, weights_u, weights_v, wholes, numbers, shift
):
    """Fill pixels of one band that are `here` and still 0, four at once: four columns of each at a time."""
    for j in range(0, count, LANES):
        if not any_of(here, j, j + LANES):
            continue
        prefetch(numbers, places[j] + (taps_v + 1) * stride)
        total = spread(0.0)
        for m in range(0, taps_u, LANES):
            c0, c1, c2, c3 = transposed(
                _down(numbers, places[j] + m, stride, taps_v, weights_v, j),
                _down(numbers, places[j + 1] + m, stride, taps_v, weights_v, j + 1),
                _down(numbers, places[j + 2] + m, stride, taps_v, weights_v, j + 2),
                _down(numbers, places[j + 3] + m, stride, taps_v, weights_v, j + 3),
            )
            total = total + load_doubles(weights_u[m], j) * c0 + load_doubles(weights_u[m + 1], j) * c1
            total = total + load_doubles(weights_u[m + 2], j) * c2 + load_doubles(weights_u[m + 3], j) * c3
        means = _as_numbers(total / load_doubles(wholes, j), shift)
        for lane in range(LANES):
            if here[j + lane] and band[start + j + lane] == 0:
                band[start + j + lane] = int(means[lane])


@jit
def _find_places(  # type: ignore[no-untyped-def]
    wanted, left, start, count, first_u, first_v, away_u, away_v, across, taps_u, taps_v, values, holes, nodata,
    here, places,
):  # fmt: skip
    """Which pixels of a run beside holes or edges have all their taps, and where; mark those that are `left`."""
    height, width, lanes = values.shape
    for j in range(count):
        if not wanted[start + j]:
            continue
        u, v = np.int64(first_u[j]), np.int64(first_v[j])
        near_u, near_v = math.floor(u + 0.5 - away_u[j]), math.floor(v + 0.5 - away_v[j])
        if _is_missing(values, near_v, near_u, nodata):
            continue
        inside = u >= 0 and v >= 0 and u + across <= width and v + taps_v <= height
        if not inside or _is_hole(holes, v, v + taps_v - 1, u, u + taps_u - 1):
            left[start + j] = True
            continue
        here[j], places[j] = True, (v * width + u) * lanes


@jit
def fill(  # type: ignore[no-untyped-def]
    one, two, three, four, wanted, left, nodes_x, nodes_y, node_row, node_column, step, rows, cols,
    values, holes, row, column, c, a, f, e, nodata, shift,
):  # fmt: skip
    """Fill what is wanted and still 0 in four bands (y, x), where all taps are valid; mark the pixels that are `left`.

    A band alone is given four times over. Pixels between two nodes are done together, all with as many taps.
    """
    height, width, lanes = values.shape
    numbers, stride = values.reshape(values.size), width * lanes
    line, ts = np.empty((4, nodes_x.shape[1])), shares_between(step)
    size = step + LANES
    x, y, step_x, step_y = np.empty((4, size))
    half_u, half_v, span_u, span_v, away_u, away_v = np.empty((6, size))
    first_u, first_v = np.empty((2, size), np.int32)
    here, places = np.empty(size, np.bool_), np.empty(size, np.int64)
    weights_u, weights_v = np.empty((2, _MOST_TAPS, size))
    sums, wholes = np.empty((2, size))
    runs = runs_between_nodes(cols, wanted.shape[1], step)
    for i in range(wanted.shape[0]):
        cell = (rows + i) // step
        line_of_nodes(nodes_x, nodes_y, cell - 1 - node_row, ts[rows + i - cell * step], step, line)
        for n in range(len(runs)):
            start, stop, first, node = runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3]
            if not any_of(wanted[i], start, stop):
                continue
            count = stop - start
            between_nodes(line, node - 1 - node_column, ts, first, count, step, x, y, step_x, step_y)
            low_u, high_u, taps_u = _triangles(x, step_x, count, c, a, column, half_u, first_u, span_u, away_u)
            low_v, high_v, taps_v = _triangles(y, step_y, count, f, e, row, half_v, first_v, span_v, away_v)
            across = -(-taps_u // LANES) * LANES
            if not (0 < taps_u <= _MOST_TAPS and 0 < taps_v <= _MOST_TAPS):
                left[i, start:stop] = wanted[i, start:stop]
                continue
            sure = low_u >= 0 and low_v >= 0 and high_u + across <= width and high_v + taps_v <= height
            sure = sure and not _is_hole(holes, low_v, high_v + taps_v - 1, low_u, high_u + taps_u - 1)
            here[:], places[:] = False, 0
            if sure:
                for j in range(np.uint64(count)):
                    here[j] = wanted[i, np.uint64(start) + j]
                    places[j] = (np.int64(first_v[j]) * width + np.int64(first_u[j])) * lanes
            else:
                _find_places(
                    wanted[i], left[i], start, count, first_u, first_v, away_u, away_v, across, taps_u, taps_v,
                    values, holes, nodata, here, places,
                )  # fmt: skip
            if not any_of(here, 0, count):
                continue
            _weigh(half_v, span_v, away_v, count, taps_v, weights_v, sums)
            _weigh(half_u, span_u, away_u, count, across, weights_u, wholes)
            _add_up(weights_u, across, sums, count, wholes)
            if lanes == 1:
                _fill_one(
                    one[i], start, count, here, places, stride, taps_u, taps_v, weights_u, weights_v, wholes,
                    numbers, shift,
                )  # fmt: skip
            else:
                _fill_four(
                    one[i], two[i], three[i], four[i], start, count, here, places, stride, taps_u, taps_v,
                    weights_u, weights_v, wholes, numbers, shift,
                )  # fmt: skip
