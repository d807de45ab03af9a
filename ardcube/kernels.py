"""Compiled kernels. Each has a plain NumPy twin beside its user, which gives the same bits where numba is missing.

Compiled without fastmath: additions keep their order, so that a pixel is the same wherever it is computed.
"""

# ruff: noqa: PLR1714 - `x in (0, nodata)` makes a tuple per tap

from __future__ import annotations

import numba
import numpy as np

from ardcube.pixels import HOLE_CELL

# Four bands at once in one vector register halve the time of a resampled pixel; numba leaves it off, the order of
# additions stays.
numba.config.SLP_VECTORIZE = 1  # type: ignore[attr-defined]
jit = numba.njit(cache=True, nogil=True, error_model="numpy")

_HOLE_BITS = HOLE_CELL.bit_length() - 1
"""Of the place of a pixel within its cell: shifting is several times faster than dividing."""


@jit
def locate(nodes_x, nodes_y, row, column, step, rows, cols, wanted, x, y, step_x, step_y):  # type: ignore[no-untyped-def]
    """Interpolate coordinates, and steps unless these are empty, between nodes; see `resample.Projection`.

    Cells between nodes in whose part of a row nothing is wanted are left out; their steps are 0.
    """
    across = nodes_x.shape[1]
    line = np.empty((4, across))
    ts = np.arange(step) / step
    for i in range(x.shape[0]):
        cell = (rows + i) // step
        t = ts[rows + i - cell * step]
        k = cell - 1 - row
        w0, w1 = -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2
        w2, w3 = -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6
        s0, s1 = -(3 * t * t - 6 * t + 2) / 6 / step, (3 * t * t - 4 * t - 1) / 2 / step
        s2, s3 = -(3 * t * t - 2 * t - 2) / 2 / step, (3 * t * t - 1) / 6 / step
        for n in range(across):
            line[0, n] = w0 * nodes_x[k, n] + w1 * nodes_x[k + 1, n] + w2 * nodes_x[k + 2, n] + w3 * nodes_x[k + 3, n]
            line[1, n] = w0 * nodes_y[k, n] + w1 * nodes_y[k + 1, n] + w2 * nodes_y[k + 2, n] + w3 * nodes_y[k + 3, n]
            line[2, n] = s0 * nodes_x[k, n] + s1 * nodes_x[k + 1, n] + s2 * nodes_x[k + 2, n] + s3 * nodes_x[k + 3, n]
            line[3, n] = s0 * nodes_y[k, n] + s1 * nodes_y[k + 1, n] + s2 * nodes_y[k + 2, n] + s3 * nodes_y[k + 3, n]
        done = 0
        while done < x.shape[1]:
            cell = (cols + done) // step
            stop = min(x.shape[1], (cell + 1) * step - cols)
            found = False
            for j in range(done, stop):
                found |= wanted[i, j]
            if not found:
                x[i, done:stop] = 0.0
                y[i, done:stop] = 0.0
                if step_x.size:
                    step_x[i, done:stop] = 0.0
                    step_y[i, done:stop] = 0.0
                done = stop
                continue
            # Unsigned, or numba asks of each index whether it counts from the end, and takes pixels one by one.
            start, end, first = np.uint64(done), np.uint64(stop), np.uint64(cols + done - cell * step)
            n = cell - 1 - column
            x0, x1, x2, x3 = _cubic(line[0], n)
            y0, y1, y2, y3 = _cubic(line[1], n)
            for j in range(start, end):
                t = ts[first + (j - start)]
                x[i, j] = ((x3 * t + x2) * t + x1) * t + x0
                y[i, j] = ((y3 * t + y2) * t + y1) * t + y0
            if step_x.size:
                p0, p1, p2, p3 = _cubic(line[2], n)
                q0, q1, q2, q3 = _cubic(line[3], n)
                x1, x2, x3 = x1 / step, 2 * x2 / step, 3 * x3 / step
                y1, y2, y3 = y1 / step, 2 * y2 / step, 3 * y3 / step
                for j in range(start, end):
                    t = ts[first + (j - start)]
                    right = (x3 * t + x2) * t + x1
                    down = ((p3 * t + p2) * t + p1) * t + p0
                    step_x[i, j] = np.sqrt(right * right + down * down)
                    right = (y3 * t + y2) * t + y1
                    down = ((q3 * t + q2) * t + q1) * t + q0
                    step_y[i, j] = np.sqrt(right * right + down * down)
            done = stop


@jit
def _cubic(line, n):  # type: ignore[no-untyped-def]
    """Coefficients of the cubic through four nodes at -1, 0, 1 and 2."""
    a, b, c, d = line[n], line[n + 1], line[n + 2], line[n + 3]
    return b, c - a / 3 - b / 2 - d / 6, (a + c) / 2 - b, (d - a) / 6 + (b - c) / 2


@jit
def reach(wanted, cells, cell, c, a, width, f, e, height, kernel, block_rows, block_cols, touched, bounds):  # type: ignore[no-untyped-def]
    """Mark the blocks that cells with a wanted pixel reach, and bound their pixels; see `resample.needed_blocks`."""
    filled = np.empty(wanted.shape[1], np.bool_)
    for p in range(cells.shape[1]):
        filled[:] = False
        for i in range(p * cell, min(wanted.shape[0], (p + 1) * cell)):
            for j in range(wanted.shape[1]):
                filled[j] |= wanted[i, j]
        for q in range(cells.shape[2]):
            found = False
            for j in range(q * cell, min(wanted.shape[1], (q + 1) * cell)):
                found |= filled[j]
            if not found:
                continue
            left, right = _reached(cells[0, p, q], cells[1, p, q], c, a, kernel, cells[4, p, q], width)
            top, bottom = _reached(cells[2, p, q], cells[3, p, q], f, e, kernel, cells[5, p, q], height)
            if left > right or top > bottom:
                continue
            bounds[0], bounds[1] = min(bounds[0], top), max(bounds[1], bottom)
            bounds[2], bounds[3] = min(bounds[2], left), max(bounds[3], right)
            for y in range(top // block_rows, bottom // block_rows + 1):
                for x in range(left // block_cols, right // block_cols + 1):
                    touched[y, x] = True


@jit
def _reached(low, high, origin, size, kernel, step, pixels):  # type: ignore[no-untyped-def]
    """First and last pixel along one axis that a cell's kernels reach; last before first where there is none."""
    margin = kernel * max(1.0, step / abs(size)) + 1.5
    one, other = (low - origin) / size, (high - origin) / size
    first, last = np.floor(min(one, other) - margin), np.floor(max(one, other) + margin)
    if np.isfinite(first) and np.isfinite(last) and last >= 0 and first < pixels:
        return int(max(first, 0.0)), int(min(last, pixels - 1.0))
    return 0, -1


@jit
def add_up(block, predicted, skip, target):  # type: ignore[no-untyped-def]
    """Copy rows of `block`, from column `skip` on, to (row, column) of `target`.

    Where `predicted`, blocks hold differences along the rows (TIFF's predictor 2), modulo the data type.
    """
    # Unsigned, or numba asks of each index whether it counts from the end, which takes as long as the adding.
    one, first, width = np.uint64(1), np.uint64(skip), np.uint64(target.shape[1])
    for i in range(target.shape[0]):
        total = block[i, 0]
        if predicted:
            for j in range(one, first + one):
                total += block[i, j]
            target[i, 0] = total
            for j in range(one, width):
                total += block[i, first + j]
                target[i, j] = total
        else:
            for j in range(width):
                target[i, j] = block[i, first + j]


@jit
def weave(one, two, three, four, predicted, skip, target):  # type: ignore[no-untyped-def]
    """What `add_up` does, of four bands at once: (row, column, 4) of `target`."""
    start, first, width = np.uint64(1), np.uint64(skip), np.uint64(target.shape[1])
    for i in range(target.shape[0]):
        if predicted:
            a, b, c, d = one[i, 0], two[i, 0], three[i, 0], four[i, 0]
            for j in range(start, first + start):
                a += one[i, j]
                b += two[i, j]
                c += three[i, j]
                d += four[i, j]
            target[i, 0, 0], target[i, 0, 1], target[i, 0, 2], target[i, 0, 3] = a, b, c, d
            for j in range(start, width):
                a += one[i, first + j]
                b += two[i, first + j]
                c += three[i, first + j]
                d += four[i, first + j]
                target[i, j, 0], target[i, j, 1], target[i, j, 2], target[i, j, 3] = a, b, c, d
        else:
            for j in range(width):
                target[i, j, 0] = one[i, first + j]
                target[i, j, 1] = two[i, first + j]
                target[i, j, 2] = three[i, first + j]
                target[i, j, 3] = four[i, first + j]


@jit
def find_holes(values, nodata, found):  # type: ignore[no-untyped-def]
    """Set the cells of `found` in which a value (row, column, lane) is 0 or `nodata`.

    Values and `nodata` must have one data type, or they would be compared one by one.
    """
    height, width, lanes = values.shape
    flat = values.reshape(height, width * lanes)
    none = nodata - nodata
    for i in range(height):
        for q in range(found.shape[1]):
            count = 0
            for j in range(np.uint64(q * HOLE_CELL * lanes), np.uint64(min(width, (q + 1) * HOLE_CELL) * lanes)):
                count += (flat[i, j] == none) | (flat[i, j] == nodata)
            found[i >> _HOLE_BITS, q] |= count > 0


@jit
def nearest(out, bands, wanted, rows, columns, values, row, column, nodata, shift):  # type: ignore[no-untyped-def]
    """Fill what is wanted and still 0 in `out[bands]` with the pixels at `rows` and `columns` of the whole raster.

    Without branches, and unsigned: what lies before the first row or column so becomes very large.
    """
    height, width = np.uint64(values.shape[0]), np.uint64(values.shape[1])
    none, first_row, first_column = np.uint64(0), np.uint64(row), np.uint64(column)
    for i in range(wanted.shape[0]):
        for b in range(len(bands)):
            line, lane = out[bands[b], i], np.uint64(b)
            for j in range(wanted.shape[1]):
                v, u = np.uint64(rows[i, j]) - first_row, np.uint64(columns[i, j]) - first_column
                there = wanted[i, j] & (v < height) & (u < width)
                number = values[v if there else none, u if there else none, lane]
                there &= (line[j] == 0) & (number != 0) & (number != nodata)
                line[j] = _shifted(number, shift) if there else line[j]


@jit
def _triangles(x, y, step_x, step_y, c, a, f, e, places, firsts):  # type: ignore[no-untyped-def]
    """Prepare the triangles of a row of pixels, several at once, since nothing branches here.

    Of each axis: centre and inverse half width into `places` (4, x), first and last tap into `firsts` (4, x). All count
    from the corner of the whole raster, never of a part of it, so that no rounding depends on the part.
    """
    across, down = abs(a), abs(e)
    for j in range(x.shape[0]):
        u, v = (x[j] - c) / a, (y[j] - f) / e
        width_u, width_v = max(1.0, step_x[j] / across), max(1.0, step_y[j] / down)
        places[0, j], places[1, j], places[2, j], places[3, j] = u, 1.0 / width_u, v, 1.0 / width_v
        firsts[0, j] = np.int32(np.floor(u - 0.5 - width_u)) + np.int32(1)
        firsts[1, j] = np.int32(np.floor(u - 0.5 + width_u))
        firsts[2, j] = np.int32(np.floor(v - 0.5 - width_v)) + np.int32(1)
        firsts[3, j] = np.int32(np.floor(v - 0.5 + width_v))


@jit
def bilinear_four(  # type: ignore[no-untyped-def]  # noqa: C901
    one, two, three, four, wanted, left, x, y, step_x, step_y, taps_u, taps_v,
    values, holes, row, column, c, a, f, e, shift,
):  # fmt: skip
    """Fill what is wanted and still 0 in four bands (y, x), where all taps are valid; mark the pixels that are `left`.

    As many taps for every pixel, the superfluous ones with weight 0, so that the processor never guesses wrong.
    `weighted` does the rest, and would give the same bits here.
    """
    height, width, _ = values.shape
    weights = np.empty(taps_u)
    places = np.empty((4, wanted.shape[1]))
    firsts = np.empty((4, wanted.shape[1]), np.int32)
    for i in range(wanted.shape[0]):
        _triangles(x[i], y[i], step_x[i], step_y[i], c, a, f, e, places, firsts)
        for j in range(wanted.shape[1]):
            if not wanted[i, j]:
                continue
            u, inverse_u, v, inverse_v = places[0, j], places[1, j], places[2, j], places[3, j]
            near_u, near_v = int(np.floor(u)) - column, int(np.floor(v)) - row
            if near_u < 0 or near_v < 0 or near_u >= width or near_v >= height:
                continue
            first_u, last_u, first_v, last_v = firsts[0, j], firsts[1, j], firsts[2, j], firsts[3, j]
            u0, v0 = first_u - column, first_v - row
            inside = u0 >= 0 and v0 >= 0 and u0 + taps_u <= width and v0 + taps_v <= height
            if not inside or holes[near_v >> _HOLE_BITS, near_u >> _HOLE_BITS]:
                left[i, j] = True
                continue
            total_u = 0.0
            for m in range(taps_u):
                weight = 1.0 - abs(first_u + m + 0.5 - u) * inverse_u
                weights[m] = weight if first_u + m <= last_u else 0.0
                total_u += weights[m]
            whole = 0.0
            total_0 = total_1 = total_2 = total_3 = 0.0
            for k in range(taps_v):
                weight_v = 1.0 - abs(first_v + k + 0.5 - v) * inverse_v
                weight_v = weight_v if first_v + k <= last_v else 0.0
                whole += weight_v * total_u
                part_0 = part_1 = part_2 = part_3 = 0.0
                for m in range(taps_u):
                    weight = weights[m]
                    part_0 += weight * values[v0 + k, u0 + m, 0]
                    part_1 += weight * values[v0 + k, u0 + m, 1]
                    part_2 += weight * values[v0 + k, u0 + m, 2]
                    part_3 += weight * values[v0 + k, u0 + m, 3]
                total_0 += weight_v * part_0
                total_1 += weight_v * part_1
                total_2 += weight_v * part_2
                total_3 += weight_v * part_3
            mean_0, mean_1 = np.rint(total_0 / whole), np.rint(total_1 / whole)
            mean_2, mean_3 = np.rint(total_2 / whole), np.rint(total_3 / whole)
            if one[i, j] == 0:
                one[i, j] = _shifted(mean_0, shift)
            if two[i, j] == 0:
                two[i, j] = _shifted(mean_1, shift)
            if three[i, j] == 0:
                three[i, j] = _shifted(mean_2, shift)
            if four[i, j] == 0:
                four[i, j] = _shifted(mean_3, shift)


@jit
def bilinear_one(  # type: ignore[no-untyped-def]
    out, wanted, left, x, y, step_x, step_y, taps_u, taps_v, values, holes, row, column, c, a, f, e, shift
):
    """What `bilinear_four` does, for a band alone."""
    height, width, _ = values.shape
    weights = np.empty(taps_u)
    places = np.empty((4, wanted.shape[1]))
    firsts = np.empty((4, wanted.shape[1]), np.int32)
    for i in range(wanted.shape[0]):
        _triangles(x[i], y[i], step_x[i], step_y[i], c, a, f, e, places, firsts)
        for j in range(wanted.shape[1]):
            if not wanted[i, j] or out[i, j] != 0:
                continue
            u, inverse_u, v, inverse_v = places[0, j], places[1, j], places[2, j], places[3, j]
            near_u, near_v = int(np.floor(u)) - column, int(np.floor(v)) - row
            if near_u < 0 or near_v < 0 or near_u >= width or near_v >= height:
                continue
            first_u, last_u, first_v, last_v = firsts[0, j], firsts[1, j], firsts[2, j], firsts[3, j]
            u0, v0 = first_u - column, first_v - row
            inside = u0 >= 0 and v0 >= 0 and u0 + taps_u <= width and v0 + taps_v <= height
            if not inside or holes[near_v >> _HOLE_BITS, near_u >> _HOLE_BITS]:
                left[i, j] = True
                continue
            total_u = 0.0
            for m in range(taps_u):
                weight = 1.0 - abs(first_u + m + 0.5 - u) * inverse_u
                weights[m] = weight if first_u + m <= last_u else 0.0
                total_u += weights[m]
            whole = 0.0
            total = 0.0
            for k in range(taps_v):
                weight_v = 1.0 - abs(first_v + k + 0.5 - v) * inverse_v
                weight_v = weight_v if first_v + k <= last_v else 0.0
                whole += weight_v * total_u
                part = 0.0
                for m in range(taps_u):
                    part += weights[m] * values[v0 + k, u0 + m, 0]
                total += weight_v * part
            out[i, j] = _shifted(np.rint(total / whole), shift)


@jit
def weigh(distance, kernel):  # type: ignore[no-untyped-def]
    """Weight of a tap at a distance in half widths: a triangle (1) or Keys' cubic (2)."""
    if kernel == 1:
        return 1.0 - distance
    if distance <= 1.0:
        return (1.5 * distance - 2.5) * distance * distance + 1.0
    return ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0


@jit
def _weigh_axis(centre, width, kernel, start, stop, weights):  # type: ignore[no-untyped-def]
    """Fill the weights of the taps of one axis within `start..stop`, half-open; return the first one and how many."""
    reached = width * kernel
    inverse = 1.0 / width
    first = max(start, int(np.floor(centre - 0.5 - reached)) + 1)
    taps = min(stop, int(np.floor(centre - 0.5 + reached)) + 1) - first
    for m in range(taps):
        weights[m] = weigh(abs(first + m + 0.5 - centre) * inverse, kernel)
    return first, taps


@jit
def weighted(  # type: ignore[no-untyped-def]
    out, bands, wanted, x, y, step_x, step_y, values, row, column, c, a, f, e, kernel, nodata, shift
):
    """Fill what is wanted and still 0 in `out[bands]` with weighted means of the valid taps of any kernel."""
    height, width, _ = values.shape
    weights_u = np.empty(width + 1)
    weights_v = np.empty(height + 1)
    for i in range(wanted.shape[0]):
        for j in range(wanted.shape[1]):
            if not wanted[i, j]:
                continue
            u, v = (x[i, j] - c) / a, (y[i, j] - f) / e
            near_u, near_v = int(np.floor(u)) - column, int(np.floor(v)) - row
            if near_u < 0 or near_v < 0 or near_u >= width or near_v >= height:
                continue
            width_u, width_v = max(1.0, step_x[i, j] / abs(a)), max(1.0, step_y[i, j] / abs(e))
            first_u, taps_u = _weigh_axis(u, width_u, kernel, column, column + width, weights_u)
            first_v, taps_v = _weigh_axis(v, width_v, kernel, row, row + height, weights_v)
            for b in range(len(bands)):
                number = values[near_v, near_u, b]
                if out[bands[b], i, j] != 0 or number == 0 or number == nodata:
                    continue
                total = 0.0
                whole = 0.0
                for k in range(taps_v):
                    part = 0.0
                    part_weights = 0.0
                    for m in range(taps_u):
                        value = values[first_v - row + k, first_u - column + m, b]
                        if value != 0 and value != nodata:
                            part += weights_u[m] * value
                            part_weights += weights_u[m]
                    total += weights_v[k] * part
                    whole += weights_v[k] * part_weights
                # The lobes of a cubic kernel may cancel beside a hole.
                mean = float(number) if whole == 0.0 else min(max(np.rint(total / whole), 1.0), 65535.0)
                out[bands[b], i, j] = _shifted(mean, shift)


@jit
def _shifted(number, shift):  # type: ignore[no-untyped-def]
    """A digital number that stays valid when `shift` is added."""
    return int(number) if shift == 0 else int(min(max(number + shift, 1.0), 65535.0))


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
