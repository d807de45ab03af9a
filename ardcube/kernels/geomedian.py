"""Compiled: the geometric median of the observations of each pixel.

Pixels are iterated in lanes: arrays whose last axis is the lane, which the compiler turns into SIMD code. A lane whose
pixel has converged gets the next pixel of the row, so that no lane waits for another. Each lane is computed as a single
pixel would be. Sums over observations are exact, so that their order changes no bit: digital numbers are whole numbers
below 2**16, and weights are multiples of 2**-27 of at most 1. The sum of 1024 products has 53 bits.
"""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit
from ardcube.kernels.nearest_observation import FAR, ROUNDER, leave_nearest
from ardcube.kernels.statistics import sort_row

LANES = 64
"""Pixels that are iterated together."""
STEP = 0.05
"""Digital numbers: an iteration with a shorter step is the last one."""
MOST_ITERATIONS = 100
"""Iterations of a pixel at most."""
_STILL = 0.01
"""Digital numbers: the start itself is the result if the first step is shorter."""
_NEAR = 1e-4
"""Square of the distance in digital numbers within which the estimate is on an observation."""
_LONGEST = -20.0
"""Factor of mixing at most: the step is then 21 times as long as that of Weiszfeld."""
_HEAVY = 1.3
"""Sum of weights, relative to that of the nearest observation, below which this observation shortens all steps."""
_TINY = 1e-300
_NONE = 1e200
"""Square of a distance from which on an observation has the weight 0."""


@jit
def geomedian_rows(stack, pairs, result):  # type: ignore[no-untyped-def]
    """Fill `result` (band, y, x) with geometric medians; return the number of pixels that did not converge.

    `stack` (band, day, y, x) has 0 in all bands of a pixel or in none. `pairs` is the sorting network of its days. The
    result is NaN without an observation.
    """
    bands, _, height, width = stack.shape
    start = np.empty((bands, width), np.float64)
    row = np.empty((bands, width), np.float64)
    unfinished = 0
    for i in range(height):
        medians_of_row(stack, i, pairs, start)
        unfinished += _geomedian_row(stack[:, :, i], start, row)
        result[:, i] = row
    return unfinished


@jit
def medians_of_row(stack, i, pairs, medians):  # type: ignore[no-untyped-def]
    """Fill `medians` (band, x) with the exact medians of row `i` of `stack` (band, day, y, x); NaN without one."""
    bands, days, _, width = stack.shape
    lanes = np.empty((days, width), np.uint16)
    count = np.empty(width, np.int64)
    for band in range(bands):
        sort_row(stack[band], i, pairs, lanes, count)
        for j in range(width):
            if count[j] == 0:
                medians[band, j] = np.nan
            else:
                total = np.int64(lanes[(count[j] - 1) // 2, j]) + np.int64(lanes[count[j] // 2, j]) + 2
                medians[band, j] = total / 2


@jit
def _geomedian_row(stack, start, result):  # type: ignore[no-untyped-def]
    """Fill `result` (band, x) with the geometric medians of one row; return the number of unfinished pixels.

    The iteration is that of Weiszfeld with the step of Vardi and Zhang (2000): on an observation, only the length by
    which the pull of the others exceeds the number of observations at this place counts. Mixing of depth 1 (Anderson
    1965) lengthens steps that point in one direction, as long as they become shorter.

    Near an observation steps are short at any distance from the result. Before an iteration ends there, the condition
    that this observation is the result is evaluated once; it is exact. Otherwise the iteration continues from the
    minimum of a parabola along the pull of the other observations.
    """
    bands, days, _ = stack.shape
    numbers = np.zeros((days, bands, LANES), np.float64)
    missing = np.full((days, LANES), FAR, np.float64)
    distance = np.zeros((days, LANES), np.float64)
    place, moves = np.ones((bands, LANES), np.float64), np.zeros((bands, LANES), np.float64)
    last_moves, steps = np.zeros((bands, LANES), np.float64), np.zeros((bands, LANES), np.float64)
    nearest, on, square = np.zeros(LANES, np.float64), np.zeros(LANES, np.float64), np.zeros(LANES, np.float64)
    last_square, length = np.zeros(LANES, np.float64), np.zeros(LANES, np.float64)
    count, iterations = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    total, is_checked = np.zeros(LANES, np.float64), np.zeros(LANES, np.bool_)
    pixel = np.full(LANES, -1, np.int64)
    order = _pixels_by_count(stack, start, result)
    upcoming = min(LANES, len(order))
    active, unfinished = upcoming, 0
    for lane in range(upcoming):
        pixel[lane] = order[lane]
        count[lane] = _load(stack, start, order[lane], lane, numbers, missing, place, 0)
    while active > 0:
        most = count.max()
        _measure(numbers[:most], missing, place, distance, nearest, on)
        _pull(numbers[:most], place, distance, nearest, on, moves, square, total)
        _step(moves, last_moves, steps, place, on, square, last_square, length)
        for lane in range(LANES):
            iterations[lane] += 1
            first = iterations[lane] == 1
            limit = _STILL * _STILL if first else STEP * STEP
            is_last = iterations[lane] == MOST_ITERATIONS
            if pixel[lane] < 0 or not (max(length[lane], square[lane]) < limit or is_last):
                continue
            if (total[lane] < _HEAVY or on[lane] > 0.0) and not is_checked[lane] and not is_last:
                is_checked[lane] = True
                if not leave_nearest(numbers[: count[lane], :, lane], place[:, lane]):
                    last_square[lane] = 0.0  # a step to another place is not mixed with those before
                    continue
                steps[:, lane] = 0.0
            unfinished += is_last
            for band in range(bands):  # the start is exact for collinear observations
                result[band, pixel[lane]] = place[band, lane] - (steps[band, lane] if first else 0.0)
            iterations[lane] = 0
            last_square[lane] = 0.0
            is_checked[lane] = False
            pixel[lane] = -1
            if upcoming < len(order):
                pixel[lane] = order[upcoming]
                count[lane] = _load(stack, start, order[upcoming], lane, numbers, missing, place, count[lane])
                upcoming += 1
            else:
                active -= 1
    return unfinished


@jit
def _measure(numbers, missing, place, distance, nearest, on):  # type: ignore[no-untyped-def]
    """Fill squares of distances (day, lane) to the estimate, the smallest of them, and the number of those near it."""
    days, bands, _ = numbers.shape
    nearest[:] = FAR
    on[:] = 0
    for day in range(days):
        squares, without = distance[day], missing[day]
        for lane in range(LANES):
            squares[lane] = without[lane]
        for band in range(bands):
            number, centre = numbers[day, band], place[band]
            for lane in range(LANES):
                difference = number[lane] - centre[lane]
                squares[lane] += difference * difference
        for lane in range(LANES):
            near = squares[lane] < _NEAR
            on[lane] += 1.0 if near else 0.0
            squares[lane] = FAR if near else squares[lane]
            nearest[lane] = squares[lane] if squares[lane] < nearest[lane] else nearest[lane]


@jit
def _pull(numbers, place, distance, nearest, on, moves, square, total):  # type: ignore[no-untyped-def]
    """Fill the steps (band, lane) of Weiszfeld, shortened on an observation, and the squares of their lengths.

    Weights are relative to that of the nearest observation; `total` has their sum.
    """
    days, bands, _ = numbers.shape
    weights = np.zeros(LANES, np.float64)
    moves[:] = 0
    for day in range(days):
        weight = distance[day]
        for lane in range(LANES):
            share = np.sqrt(nearest[lane] / weight[lane])
            share = share if weight[lane] < _NONE else 0.0
            share = (share + ROUNDER) - ROUNDER
            weight[lane] = share
            weights[lane] += share
        for band in range(bands):
            number, move = numbers[day, band], moves[band]
            for lane in range(LANES):
                move[lane] += weight[lane] * number[lane]
    square[:] = 0
    for lane in range(LANES):
        weights[lane] = weights[lane] if weights[lane] > _TINY else _TINY
        total[lane] = weights[lane]
    for band in range(bands):
        move, centre = moves[band], place[band]
        for lane in range(LANES):
            move[lane] = move[lane] / weights[lane] - centre[lane]
            square[lane] += move[lane] * move[lane]
    _hold(weights, nearest, on, moves, square)


@jit
def _hold(weights, nearest, on, moves, square):  # type: ignore[no-untyped-def]
    """Shorten the steps of estimates on an observation, and the squares of their lengths."""
    for lane in range(LANES):
        pull = np.sqrt(square[lane] / nearest[lane]) * weights[lane]
        held = on[lane] / (pull if pull > _TINY else _TINY)
        share = 0.0 if held > 1.0 else 1.0 - held
        square[lane] *= share * share
        weights[lane] = share
    for band in range(len(moves)):
        move = moves[band]
        for lane in range(LANES):
            move[lane] *= weights[lane]


@jit
def _step(moves, last_moves, steps, place, on, square, last_square, length):  # type: ignore[no-untyped-def]
    """Move the estimates (band, lane) by mixed steps, and fill the squares of their lengths."""
    bands = len(moves)
    mixed, changed = np.zeros(LANES, np.float64), np.full(LANES, _TINY, np.float64)
    for band in range(bands):
        move, last = moves[band], last_moves[band]
        for lane in range(LANES):
            change = move[lane] - last[lane]
            mixed[lane] += move[lane] * change
            changed[lane] += change * change
    for lane in range(LANES):
        factor = mixed[lane] / changed[lane]
        factor = factor if factor > _LONGEST else _LONGEST
        factor = factor if factor < 0.0 else 0.0
        mixed[lane] = factor if square[lane] < last_square[lane] else 0.0
        last_square[lane] = square[lane] if on[lane] == 0.0 else 0.0
    length[:] = 0
    for band in range(bands):
        move, last, step, centre = moves[band], last_moves[band], steps[band], place[band]
        for lane in range(LANES):
            made = move[lane] - mixed[lane] * (step[lane] + move[lane] - last[lane])
            last[lane] = move[lane]
            step[lane] = made
            centre[lane] += made
            length[lane] += made * made


@jit
def _load(stack, start, x, lane, numbers, missing, place, before):  # type: ignore[no-untyped-def]
    """Load the observations of a pixel into the first days of a lane; return their number.

    `before` is the number of observations of the pixel before it.
    """
    bands, days, _ = stack.shape
    seen = 0
    for day in range(days):
        if stack[0, day, x] != 0:
            for band in range(bands):
                numbers[seen, band, lane] = stack[band, day, x]
            missing[seen, lane] = 0.0
            seen += 1
    for day in range(seen, before):
        missing[day, lane] = FAR
    for band in range(bands):
        place[band, lane] = start[band, x]
    return seen


@jit
def _pixels_by_count(stack, start, result):  # type: ignore[no-untyped-def]
    """Return the pixels with more than two observations, ordered by their number, so that lanes have equal numbers.

    The result of the other pixels is filled: one observation is the median, and of two it is their mean.
    """
    bands, days, width = stack.shape
    counts = np.zeros(width, np.int64)
    places = np.zeros(days + 2, np.int64)
    for day in range(days):
        for x in range(width):
            counts[x] += stack[0, day, x] != 0
    for x in range(width):
        if counts[x] > 2:
            places[counts[x] + 1] += 1
        else:
            for band in range(bands):
                result[band, x] = start[band, x]  # NaN without an observation
    for c in range(1, days + 2):
        places[c] += places[c - 1]
    order = np.empty(places[days + 1], np.int64)
    for x in range(width):
        if counts[x] > 2:
            order[places[counts[x]]] = x
            places[counts[x]] += 1
    return order
