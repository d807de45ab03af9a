"""Compiled: the spread of the observations of each pixel around their geometric median."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit


@jit
def deviation_rows(stack, pairs, centre, scale, offset, result):  # type: ignore[no-untyped-def]
    """Fill `result` (3, y, x) with the medians of distances to a centre (band, y, x), in reflectance.

    Distances are Euclidean, cosine and Bray-Curtis. A distance that is not defined, because all bands are 0, does not
    count. Pixels without a distance are left unchanged.
    """
    _, days, height, width = stack.shape
    distances = np.empty((3, days, width), np.float32)
    for i in range(height):
        for day in range(days):
            _distances(stack[:, day, i], centre[:, i], scale, offset, distances[:, day])
        for kind in range(3):
            _median_of_distances(distances[kind], pairs, result[kind, i])


@jit
def _distances(numbers, centre, scale, offset, distances):  # type: ignore[no-untyped-def]
    """Fill `distances` (3, x) of the numbers of a day (band, x) to a centre; infinite where there is none."""
    bands, width = numbers.shape
    squares, product, ones = np.zeros(width, np.float64), np.zeros(width, np.float64), np.zeros(width, np.float64)
    others, sums, differences = np.zeros(width, np.float64), np.zeros(width, np.float64), np.zeros(width, np.float64)
    for band in range(bands):
        number, middle = numbers[band], centre[band]
        for j in range(width):
            one, other = number[j] * scale + offset, middle[j] * scale + offset
            difference = (number[j] - np.float64(middle[j])) * scale
            squares[j] += difference * difference
            product[j] += one * other
            ones[j] += one * one
            others[j] += other * other
            sums[j] += abs(one + other)
            differences[j] += abs(difference)
    for j in range(width):
        seen, lengths = numbers[0, j] != 0, np.sqrt(ones[j] * others[j])
        angle = max(1.0 - product[j] / lengths, 0.0)
        distances[0, j] = np.sqrt(squares[j]) if seen else np.inf
        distances[1, j] = angle if seen and lengths > 0.0 else np.inf
        distances[2, j] = differences[j] / sums[j] if seen and sums[j] > 0.0 else np.inf


@jit
def _median_of_distances(distances, pairs, result):  # type: ignore[no-untyped-def]
    """Fill `result` (x,) with the medians of the finite `distances` (day, x), which are sorted in place."""
    days, width = distances.shape
    count = np.zeros(width, np.int64)
    for day in range(days):
        for j in range(width):
            count[j] += distances[day, j] < np.inf
    for pair in range(pairs.shape[0]):
        low, high = distances[pairs[pair, 0]], distances[pairs[pair, 1]]
        for j in range(width):
            near, far = low[j], high[j]
            low[j] = near if near < far else far
            high[j] = far if near < far else near
    for j in range(width):
        if count[j] > 0:
            total = np.float64(distances[(count[j] - 1) // 2, j]) + np.float64(distances[count[j] // 2, j])
            result[j] = total / 2
