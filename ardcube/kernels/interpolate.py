"""Compiled: where pixels lie in a source CRS, interpolated between nodes (see `ardcube.pixels.projection`)."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit
from ardcube.kernels.layout import LANES
from ardcube.kernels.runs import any_of, runs_between_nodes, shares_between
from ardcube.kernels.simd import load_doubles, root, spread, store


@jit
def line_of_nodes(nodes_x, nodes_y, k, t, step, line):  # type: ignore[no-untyped-def]
    """Interpolate down the columns of nodes, between rows `k + 1` and `k + 2`: x, y, and how these change, (4, n)."""
    w0, w1 = -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2
    w2, w3 = -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6
    s0, s1 = -(3 * t * t - 6 * t + 2) / 6 / step, (3 * t * t - 4 * t - 1) / 2 / step
    s2, s3 = -(3 * t * t - 2 * t - 2) / 2 / step, (3 * t * t - 1) / 6 / step
    for n in range(nodes_x.shape[1]):
        line[0, n] = w0 * nodes_x[k, n] + w1 * nodes_x[k + 1, n] + w2 * nodes_x[k + 2, n] + w3 * nodes_x[k + 3, n]
        line[1, n] = w0 * nodes_y[k, n] + w1 * nodes_y[k + 1, n] + w2 * nodes_y[k + 2, n] + w3 * nodes_y[k + 3, n]
        line[2, n] = s0 * nodes_x[k, n] + s1 * nodes_x[k + 1, n] + s2 * nodes_x[k + 2, n] + s3 * nodes_x[k + 3, n]
        line[3, n] = s0 * nodes_y[k, n] + s1 * nodes_y[k + 1, n] + s2 * nodes_y[k + 2, n] + s3 * nodes_y[k + 3, n]


@jit
def _cubic(line, n):  # type: ignore[no-untyped-def]
    """Coefficients of the cubic through four nodes at -1, 0, 1 and 2."""
    a, b, c, d = line[n], line[n + 1], line[n + 2], line[n + 3]
    return b, c - a / 3 - b / 2 - d / 6, (a + c) / 2 - b, (d - a) / 6 + (b - c) / 2


@jit
def between_nodes(line, n, ts, first, count, step, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Interpolate along a line of nodes, after node `n + 1`: `count` pixels from the one at `ts[first]` on.

    The arrays must be longer than `count` by what is missing to a multiple of four; steps are left out where their
    arrays are empty.
    """
    a0, a1, a2, a3 = _cubic(line[0], n)
    b0, b1, b2, b3 = _cubic(line[1], n)
    x0, x1, x2, x3 = spread(a0), spread(a1), spread(a2), spread(a3)
    y0, y1, y2, y3 = spread(b0), spread(b1), spread(b2), spread(b3)
    for j in range(0, count, LANES):
        t = load_doubles(ts, first + j)
        store(x, j, ((x3 * t + x2) * t + x1) * t + x0)
        store(y, j, ((y3 * t + y2) * t + y1) * t + y0)
    if step_x.size == 0:
        return
    x1, x2, x3 = spread(a1 / step), spread(2 * a2 / step), spread(3 * a3 / step)
    y1, y2, y3 = spread(b1 / step), spread(2 * b2 / step), spread(3 * b3 / step)
    a0, a1, a2, a3 = _cubic(line[2], n)
    b0, b1, b2, b3 = _cubic(line[3], n)
    p0, p1, p2, p3 = spread(a0), spread(a1), spread(a2), spread(a3)
    q0, q1, q2, q3 = spread(b0), spread(b1), spread(b2), spread(b3)
    for j in range(0, count, LANES):
        t = load_doubles(ts, first + j)
        right, down = (x3 * t + x2) * t + x1, ((p3 * t + p2) * t + p1) * t + p0
        store(step_x, j, root(right * right + down * down))
        right, down = (y3 * t + y2) * t + y1, ((q3 * t + q2) * t + q1) * t + q0
        store(step_y, j, root(right * right + down * down))


@jit
def locate(nodes_x, nodes_y, row, column, step, rows, cols, wanted, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Interpolate coordinates and steps between nodes; see `projection.Projection`.

    Cells between nodes in whose part of a row nothing is wanted are left out; all of theirs is 0.
    """
    line, ts = np.empty((4, nodes_x.shape[1])), shares_between(step)
    a, b, c, d = np.empty((4, step + LANES))
    runs = runs_between_nodes(cols, x.shape[1], step)
    for i in range(x.shape[0]):
        cell = (rows + i) // step
        line_of_nodes(nodes_x, nodes_y, cell - 1 - row, ts[rows + i - cell * step], step, line)
        for n in range(len(runs)):
            start, stop, first, node = runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3]
            if any_of(wanted[i], start, stop):
                count = stop - start
                between_nodes(line, node - 1 - column, ts, first, count, step, a, b, c, d)
                x[i, start:stop], y[i, start:stop] = a[:count], b[:count]
                step_x[i, start:stop], step_y[i, start:stop] = c[:count], d[:count]
            else:
                x[i, start:stop], y[i, start:stop] = 0.0, 0.0
                step_x[i, start:stop], step_y[i, start:stop] = 0.0, 0.0


@jit
def find_pixels(  # type: ignore[no-untyped-def]
    nodes_x, nodes_y, row, column, step, rows, cols, c, a, f, e, height, width, beyond, found
):
    """Row and column of the source pixel that each pixel lies in, (2, y, x); `beyond` the raster."""
    line, ts = np.empty((4, nodes_x.shape[1])), shares_between(step)
    x, y = np.empty((2, step + LANES))
    no_steps = np.empty(0)
    runs = runs_between_nodes(cols, found.shape[2], step)
    for i in range(found.shape[1]):
        cell = (rows + i) // step
        line_of_nodes(nodes_x, nodes_y, cell - 1 - row, ts[rows + i - cell * step], step, line)
        for n in range(len(runs)):
            start, stop, first, node = runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3]
            between_nodes(line, node - 1 - column, ts, first, stop - start, step, x, y, no_steps, no_steps)
            for j in range(np.uint64(stop - start)):
                v, u = np.floor((y[j] - f) / e), np.floor((x[j] - c) / a)
                inside = (v >= 0) & (u >= 0) & (v < height) & (u < width)
                found[0, i, np.uint64(start) + j] = int(v) if inside else beyond
                found[1, i, np.uint64(start) + j] = int(u) if inside else beyond
