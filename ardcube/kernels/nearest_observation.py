"""Compiled: whether the geometric median of a pixel is the observation nearest to an estimate.

Vardi and Zhang (2000): it is, if the pull of the others is at most the number of observations at this place.
"""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit

ROUNDER = 1.5 * 2.0**25
"""Number whose addition and subtraction rounds a summand to a multiple of 2**-27, so that sums are exact."""
FAR = 1e300
"""Square of a distance that means no observation."""


@jit
def leave_nearest(numbers, place):  # type: ignore[no-untyped-def]
    """Move an estimate (band) to the observation nearest to it if that is the geometric median; return whether it is.

    `numbers` has all observations (day, band). Otherwise the estimate moves to the minimum of the parabola through the
    observation along the pull of the others. Summands are rounded as weights are, so that sums are exact.
    """
    bands = len(place)
    nearest, pull = _nearest(numbers, place), np.zeros(bands, np.float64)
    equal = _pull_at(numbers, nearest, pull)
    length = np.sqrt((pull * pull).sum())
    if length <= equal:
        for band in range(bands):
            place[band] = numbers[nearest, band]
        return True
    bend = _bend_at(numbers, nearest, pull / length)
    if bend > 0.0:
        for band in range(bands):
            place[band] = numbers[nearest, band] + (length - equal) / bend * pull[band] / length
    return False


@jit
def _nearest(numbers, place):  # type: ignore[no-untyped-def]
    """Return the position of the observation (day, band) nearest to an estimate (band)."""
    nearest, least = 0, FAR
    for day in range(len(numbers)):
        square = 0.0
        for band in range(len(place)):
            square += (numbers[day, band] - place[band]) ** 2
        if square < least:
            nearest, least = day, square
    return nearest


@jit
def _pull_at(numbers, at, pull):  # type: ignore[no-untyped-def]
    """Fill `pull` (band) with the sum of unit vectors from an observation; return the number of those equal to it."""
    equal = 0.0
    for day in range(len(numbers)):
        distance = _distance(numbers, day, at)
        equal += distance == 0.0
        if distance > 0.0:
            for band in range(len(pull)):
                pull[band] += ((numbers[day, band] - numbers[at, band]) / distance + ROUNDER) - ROUNDER
    return equal


@jit
def _bend_at(numbers, at, direction):  # type: ignore[no-untyped-def]
    """Return the second derivative of the sum of distances from an observation along a direction (band)."""
    bend = 0.0
    for day in range(len(numbers)):
        distance = _distance(numbers, day, at)
        if distance > 0.0:
            along = 0.0
            for band in range(len(direction)):
                along += (numbers[day, band] - numbers[at, band]) / distance * direction[band]
            bend += ((1.0 - along * along) / distance + ROUNDER) - ROUNDER
    return bend


@jit
def _distance(numbers, one, other):  # type: ignore[no-untyped-def]
    """Return the distance between two observations of `numbers` (day, band)."""
    square = 0.0
    for band in range(numbers.shape[1]):
        square += (numbers[one, band] - numbers[other, band]) ** 2
    return np.sqrt(square)
