"""Compiled: coordinates of pixels, from projected nodes or an affine transform (see `layout.Nodes`)."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit, jit_inline
from ardcube.kernels.layout import EDGE, LANES
from ardcube.kernels.simd import broadcast, load_float64, sqrt, store


@jit
def any_wanted(wanted, start, stop):  # type: ignore[no-untyped-def]
    """Return whether a pixel of a row is wanted in `start..stop`, half-open."""
    found = False
    # With a signed index numba checks for negative values, and takes pixels one by one.
    for j in range(np.uint64(start), np.uint64(stop)):
        found |= wanted[j]
    return found


@jit
def node_fractions(step):  # type: ignore[no-untyped-def]
    """Return the positions of pixels after a node as fractions of the node distance, with a vector to spare."""
    return np.arange(step + LANES) / step


@jit
def runs_between_nodes(cols, width, step):  # type: ignore[no-untyped-def]
    """Split a row of `width` pixels, from the grid's column `cols` on, into runs between two nodes: (run, 4).

    Each run has its first pixel, the pixel after its last, the number of pixels from the node to the first pixel, and
    the index of that node on the grid.
    """
    first = cols // step
    runs = np.empty(((cols + width - 1) // step - first + 1, 4), np.int64)
    for n in range(len(runs)):
        node = first + n
        start = max(0, node * step - cols)
        runs[n, 0], runs[n, 1] = start, min(width, (node + 1) * step - cols)
        runs[n, 2], runs[n, 3] = cols + start - node * step, node
    return runs


@jit
def start_row(nodes, i, ts, line):  # type: ignore[no-untyped-def]
    """Prepare the global row `i` for `fill_run`.

    Fills `line` (4, column of nodes) with x, y, and the changes of x and y per pixel downwards, interpolated down the
    columns of nodes.
    """
    if nodes.affine.size:
        return
    step, cell = nodes.step, i // nodes.step
    k, t = cell - 1 - nodes.row, ts[i - cell * step]
    w0, w1 = -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2
    w2, w3 = -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6
    s0, s1 = -(3 * t * t - 6 * t + 2) / 6 / step, (3 * t * t - 4 * t - 1) / 2 / step
    s2, s3 = -(3 * t * t - 2 * t - 2) / 2 / step, (3 * t * t - 1) / 6 / step
    x, y = nodes.x, nodes.y
    for n in range(x.shape[1]):
        line[0, n] = w0 * x[k, n] + w1 * x[k + 1, n] + w2 * x[k + 2, n] + w3 * x[k + 3, n]
        line[1, n] = w0 * y[k, n] + w1 * y[k + 1, n] + w2 * y[k + 2, n] + w3 * y[k + 3, n]
        line[2, n] = s0 * x[k, n] + s1 * x[k + 1, n] + s2 * x[k + 2, n] + s3 * x[k + 3, n]
        line[3, n] = s0 * y[k, n] + s1 * y[k + 1, n] + s2 * y[k + 2, n] + s3 * y[k + 3, n]


@jit
def _cubic(line, n):  # type: ignore[no-untyped-def]
    """Return the coefficients of the cubic through four nodes at -1, 0, 1 and 2."""
    a, b, c, d = line[n], line[n + 1], line[n + 2], line[n + 3]
    return b, c - a / 3 - b / 2 - d / 6, (a + c) / 2 - b, (d - a) / 6 + (b - c) / 2


@jit_inline
def fill_run(nodes, line, i, node, ts, first, count, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Fill the coordinates of `count` pixels of the global row `i`, from `first` pixels after a global node on.

    The arrays must have room for `count` rounded up to a multiple of four. If `step_x` has no size, no step is
    computed.
    """
    if nodes.affine.size:
        _fill_affine(nodes, i, node * nodes.step + first, count, x, y, step_x, step_y)
    else:
        _interpolate_run(line, node - 1 - nodes.column, ts, first, count, nodes.step, x, y, step_x, step_y)


@jit
def _fill_affine(nodes, i, j, count, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Fill the coordinates of pixels of the global row `i`, from the global column `j` on."""
    left, width, upper, height = nodes.affine
    count = -(-count // LANES) * LANES
    for k in range(count):
        x[k] = left + (j + k + 0.5) * width
    y[:count] = upper + (i + 0.5) * height
    if step_x.size:
        step_x[:count], step_y[:count] = abs(width), abs(height)


@jit_inline
def _interpolate_run(line, n, ts, first, count, step, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Interpolate along a line of nodes, after node `n + 1`; see `fill_run`."""
    a0, a1, a2, a3 = _cubic(line[0], n)
    b0, b1, b2, b3 = _cubic(line[1], n)
    x0, x1, x2, x3 = broadcast(a0), broadcast(a1), broadcast(a2), broadcast(a3)
    y0, y1, y2, y3 = broadcast(b0), broadcast(b1), broadcast(b2), broadcast(b3)
    for j in range(0, count, LANES):
        t = load_float64(ts, first + j)
        store(x, j, ((x3 * t + x2) * t + x1) * t + x0)
        store(y, j, ((y3 * t + y2) * t + y1) * t + y0)
    if step_x.size == 0:
        return
    x1, x2, x3 = broadcast(a1 / step), broadcast(2 * a2 / step), broadcast(3 * a3 / step)
    y1, y2, y3 = broadcast(b1 / step), broadcast(2 * b2 / step), broadcast(3 * b3 / step)
    a0, a1, a2, a3 = _cubic(line[2], n)
    b0, b1, b2, b3 = _cubic(line[3], n)
    p0, p1, p2, p3 = broadcast(a0), broadcast(a1), broadcast(a2), broadcast(a3)
    q0, q1, q2, q3 = broadcast(b0), broadcast(b1), broadcast(b2), broadcast(b3)
    for j in range(0, count, LANES):
        t = load_float64(ts, first + j)
        right, down = (x3 * t + x2) * t + x1, ((p3 * t + p2) * t + p1) * t + p0
        store(step_x, j, sqrt(right * right + down * down))
        right, down = (y3 * t + y2) * t + y1, ((q3 * t + q2) * t + q1) * t + q0
        store(step_y, j, sqrt(right * right + down * down))


@jit
def find_coordinates(nodes, rows, cols, wanted, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Fill coordinates and steps of a window from the global row `rows` and column `cols` on.

    A run between two nodes without a wanted pixel is set to 0.
    """
    step = nodes.step
    line, ts = np.empty((4, nodes.x.shape[1])), node_fractions(step)
    a, b, c, d = np.empty((4, step + LANES))
    runs = runs_between_nodes(cols, x.shape[1], step)
    for i in range(x.shape[0]):
        start_row(nodes, rows + i, ts, line)
        for n in range(len(runs)):
            start, stop, first, node = runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3]
            if any_wanted(wanted[i], start, stop):
                count = stop - start
                fill_run(nodes, line, rows + i, node, ts, first, count, a, b, c, d)
                x[i, start:stop], y[i, start:stop] = a[:count], b[:count]
                step_x[i, start:stop], step_y[i, start:stop] = c[:count], d[:count]
            else:
                x[i, start:stop], y[i, start:stop] = 0.0, 0.0
                step_x[i, start:stop], step_y[i, start:stop] = 0.0, 0.0


@jit
def find_pixels(nodes, rows, cols, c, a, f, e, height, width, outside, found):  # type: ignore[no-untyped-def]
    """Fill `found` (2, y, x) with the row and column of the source pixel at each pixel centre, or with `outside`."""
    step = nodes.step
    line, ts = np.empty((4, nodes.x.shape[1])), node_fractions(step)
    x, y = np.empty((2, step + LANES))
    no_steps = np.empty(0)
    runs = runs_between_nodes(cols, found.shape[2], step)
    for i in range(found.shape[1]):
        start_row(nodes, rows + i, ts, line)
        for n in range(len(runs)):
            start, stop, first, node = runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3]
            fill_run(nodes, line, rows + i, node, ts, first, stop - start, x, y, no_steps, no_steps)
            for j in range(np.uint64(stop - start)):
                v, u = np.floor((y[j] - f) / e + EDGE), np.floor((x[j] - c) / a + EDGE)
                inside = (v >= 0) & (u >= 0) & (v < height) & (u < width)
                found[0, i, np.uint64(start) + j] = int(v) if inside else outside
                found[1, i, np.uint64(start) + j] = int(u) if inside else outside
