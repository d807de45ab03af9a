"""Compiled: weights of the triangle kernels of some pixels along one axis of the source, four pixels at once."""

from __future__ import annotations

import math

import numpy as np

from ardcube.kernels.jit import jit
from ardcube.kernels.layout import LANES
from ardcube.kernels.simd import (
    absolute,
    broadcast,
    floor,
    load_float64,
    maximum,
    minimum,
    split,
    store,
    store_int32,
    zero_after,
)


@jit
def place_triangles(  # type: ignore[no-untyped-def]
    centres, steps, count, origin, size, start, half_widths, firsts, spans, distances
):
    """Prepare the triangle kernels of some pixels along one axis of the source.

    Fills, for each pixel: half the kernel's width; its first tap, counted from `start`; the number of taps after the
    first; and the distance from the pixel's centre to the middle of the first tap. Returns the smallest and the
    largest first tap and the number of taps that suffices for all pixels: 0 if a coordinate is not finite. Positions
    are computed from the corner of the whole raster, so that no rounding depends on the window that was read.
    """
    half, one = broadcast(0.5), broadcast(1.0)
    low, high, most, not_finite = broadcast(np.inf), broadcast(-np.inf), one, broadcast(0.0)
    for j in range(0, count, LANES):
        centre = (load_float64(centres, j) - broadcast(origin)) / broadcast(size)
        width = maximum(load_float64(steps, j) * broadcast(1.0 / abs(size)), one)
        first, last = floor(centre - half - width) + one, floor(centre - half + width)
        store(half_widths, j, width)
        store(spans, j, last - first)
        store(distances, j, first + half - centre)
        first = first - broadcast(float(start))
        store_int32(firsts, j, first)
        low, high, most = minimum(low, first), maximum(high, first), maximum(most, width)
        not_finite = not_finite + (last - last)  # NaN if `last` is not finite
    not_finite_lanes = split(not_finite)
    if not np.isfinite(not_finite_lanes[0] + not_finite_lanes[1] + not_finite_lanes[2] + not_finite_lanes[3]):
        return 0, 0, 0
    return int(min(split(low))), int(max(split(high))), math.ceil(2.0 * max(split(most)))


@jit
def weigh_taps(half_widths, spans, distances, count, taps, weights, sums):  # type: ignore[no-untyped-def]
    """Fill the weights (tap, pixel) of triangles, not normalised, 0 outside of a triangle; and their sums (pixel,)."""
    for j in range(0, count, LANES):
        half, span, distance = load_float64(half_widths, j), load_float64(spans, j), load_float64(distances, j)
        total = broadcast(0.0)
        for k in range(taps):
            tap = broadcast(float(k))
            weight = zero_after(half - absolute(tap + distance), tap, span)
            store(weights[k], j, weight)
            total += weight
        store(sums, j, total)


@jit
def multiply_sums(weights, taps, sums, count, norms):  # type: ignore[no-untyped-def]
    """Fill `norms` (pixel,): the sum of all weights of each pixel, from one axis and the `sums` of the other."""
    for j in range(0, count, LANES):
        total_weight, other = broadcast(0.0), load_float64(sums, j)
        for m in range(taps):
            total_weight += load_float64(weights[m], j) * other
        store(norms, j, total_weight)
