"""Compiled: bilinear resampling of pixels all of whose taps are valid, which nearly all of them are.

What `kernels.weighted` would give here, to the bit, in a fraction of its time: nothing branches within a pixel, and
four bands, or four columns of one band, share a vector register.
"""

from __future__ import annotations

import math

import numpy as np

from ardcube.kernels import any_of, jit
from ardcube.lanes import (
    floor,
    larger,
    load,
    load_doubles,
    magnitude,
    numbered,
    prefetch,
    rounded,
    smaller,
    split,
    spread,
    store,
    store_whole,
    where_at_most,
)
from ardcube.locating import between_nodes, line_of_nodes, shares_between
from ardcube.pixels import HOLE_CELL, LANES

_HOLE_BITS = HOLE_CELL.bit_length() - 1


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
def _weights(half, away, span, skipped):  # type: ignore[no-untyped-def]
    """Weights of four taps of a triangle, not yet normalised, after those that are skipped."""
    tap = numbered() + spread(float(skipped))
    return where_at_most(spread(half) - magnitude(tap + spread(away)), tap, spread(span))


@jit
def _is_hole(holes, low_row, high_row, low_column, high_column):  # type: ignore[no-untyped-def]
    """Whether data may be missing in a rectangle of pixels."""
    found = False
    for p in range(low_row >> _HOLE_BITS, (high_row >> _HOLE_BITS) + 1):
        for q in range(low_column >> _HOLE_BITS, (high_column >> _HOLE_BITS) + 1):
            found |= holes[p, q]
    return found


@jit
def fill(  # type: ignore[no-untyped-def]  # noqa: C901
    one, two, three, four, wanted, left, nodes_x, nodes_y, node_row, node_column, step, rows, cols,
    values, holes, row, column, c, a, f, e, shift,
):  # fmt: skip
    """Fill what is wanted and still 0 in four bands (y, x), where all taps are valid; mark the pixels that are `left`.

    A band alone is given four times over. Taps beyond a triangle have weight 0, so that pixels of a cell have as many.
    """
    height, width, lanes = values.shape
    line, ts = np.empty((4, nodes_x.shape[1])), shares_between(step)
    x, y, step_x, step_y = np.empty((4, step + LANES))
    half_u, half_v, away_u, away_v = np.empty((4, step + LANES))
    span_u, span_v = np.empty((2, step + LANES))
    first_u, first_v = np.empty((2, step + LANES), np.int32)
    weights_v = np.empty(HOLE_CELL + LANES)
    least, largest = spread(1.0), spread(65535.0)
    for i in range(wanted.shape[0]):
        cell = (rows + i) // step
        line_of_nodes(nodes_x, nodes_y, cell - 1 - node_row, ts[rows + i - cell * step], step, line)
        stop = 0
        while stop < wanted.shape[1]:
            start, cell = stop, (cols + stop) // step
            stop = min(wanted.shape[1], (cell + 1) * step - cols)
            if not any_of(wanted[i], start, stop):
                continue
            between_nodes(
                line, cell - 1 - node_column, ts, cols + start - cell * step, stop - start, step, x, y, step_x, step_y
            )
            low_u, high_u, taps_u = _triangles(x, step_x, stop - start, c, a, column, half_u, first_u, span_u, away_u)
            low_v, high_v, taps_v = _triangles(y, step_y, stop - start, f, e, row, half_v, first_v, span_v, away_v)
            across = -(-taps_u // LANES) * LANES
            # Kernels of more than a cell would reach holes that the cells beside theirs do not know of.
            fits = 0 < taps_u <= HOLE_CELL and 0 < taps_v <= HOLE_CELL
            inside = fits and low_u >= 0 and low_v >= 0 and high_u + across <= width and high_v + taps_v <= height
            plain = inside and not _is_hole(holes, low_v, high_v + taps_v - 1, low_u, high_u + taps_u - 1)
            for j in range(stop - start):
                if not wanted[i, start + j]:
                    continue
                u, v = np.int64(first_u[j]), np.int64(first_v[j])
                if not plain:
                    near_u, near_v = math.floor(u + 0.5 - away_u[j]), math.floor(v + 0.5 - away_v[j])
                    if fits and (near_u < 0 or near_v < 0 or near_u >= width or near_v >= height):
                        continue
                    here = fits and u >= 0 and v >= 0 and u + across <= width and v + taps_v <= height
                    if not here or holes[near_v >> _HOLE_BITS, near_u >> _HOLE_BITS]:
                        left[i, start + j] = True
                        continue
                # The next row of pixels begins about two source pixels further down.
                prefetch(values, v + taps_v + 1, u)
                whole_v = 0.0
                for k in range(0, taps_v, LANES):
                    weights = _weights(half_v[j], away_v[j], span_v[j], k)
                    store(weights_v, k, weights)
                    w0, w1, w2, w3 = split(weights)
                    whole_v = whole_v + w0 + w1 + w2 + w3
                whole = 0.0
                total = spread(0.0)
                for m in range(0, taps_u, LANES):
                    weights = _weights(half_u[j], away_u[j], span_u[j], m)
                    w0, w1, w2, w3 = split(weights)
                    whole = whole + w0 * whole_v + w1 * whole_v + w2 * whole_v + w3 * whole_v
                    if lanes == 1:
                        sums = spread(0.0)
                        for k in range(taps_v):
                            sums += spread(weights_v[k]) * load(values, v + k, u + m)
                        s0, s1, s2, s3 = split(weights * sums)
                        total = total + spread(s0) + spread(s1) + spread(s2) + spread(s3)
                        continue
                    c0 = c1 = c2 = c3 = spread(0.0)
                    for k in range(taps_v):
                        weight = spread(weights_v[k])
                        c0 += weight * load(values, v + k, u + m)
                        c1 += weight * load(values, v + k, u + m + 1)
                        c2 += weight * load(values, v + k, u + m + 2)
                        c3 += weight * load(values, v + k, u + m + 3)
                    total = total + spread(w0) * c0 + spread(w1) * c1 + spread(w2) * c2 + spread(w3) * c3
                mean = rounded(total / spread(whole)) + spread(float(shift))
                mean_0, mean_1, mean_2, mean_3 = split(smaller(larger(mean, least), largest))
                if one[i, start + j] == 0:
                    one[i, start + j] = int(mean_0)
                if lanes == 1:
                    continue
                if two[i, start + j] == 0:
                    two[i, start + j] = int(mean_1)
                if three[i, start + j] == 0:
                    three[i, start + j] = int(mean_2)
                if four[i, start + j] == 0:
                    four[i, start + j] = int(mean_3)
