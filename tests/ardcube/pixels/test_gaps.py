"""Gaps: properties of filling in time, whatever the observations are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.pixels.gaps import FILLED, NO_DISTANCE, OBSERVED, Gaps, Method, weighted
from tests.strategies import EDGE_NUMBERS, MANY, RANDOM

METHODS: st.SearchStrategy[Method] = st.sampled_from(("carry", "interpolate"))


def filled(
    counts: NDArray[Any], values: NDArray[Any], times: NDArray[Any], method: Method, most: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Fill all periods; return values, flags and distances."""

    def at(array: NDArray[Any]) -> Any:
        return lambda period: array[period] if 0 <= period < len(array) else None

    results = []
    for period in range(len(counts)):
        gaps = Gaps.find(at(counts), period, counts.shape[1:], method, most)
        own = values[period].copy()
        gaps.fill(own, at(values), period, times.tolist(), 0)
        results.append((own, gaps.filled, gaps.distance))
    first, second, third = zip(*results, strict=True)
    return np.stack(first), np.stack(second), np.stack(third)


def series(random: np.random.Generator, periods: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    counts = random.integers(0, 2, (periods, 3, 4)).astype(np.uint16)
    values = random.choice([*EDGE_NUMBERS[3:], *random.integers(1, 65536, 8)], (periods, 3, 4, 2))
    times = np.cumsum(random.integers(1, 40, periods))
    return counts, np.where(counts[..., None] > 0, values, 0).astype(np.uint16), times


@MANY
@given(RANDOM, st.integers(1, 8), METHODS, st.integers(1, 9))
def test_only_gaps_within_reach_change(random: np.random.Generator, periods: int, method: Method, most: int) -> None:
    counts, values, times = series(random, periods)
    after, flags, distance = filled(counts, values, times, method, most)
    np.testing.assert_array_equal(flags == OBSERVED, counts > 0)
    np.testing.assert_array_equal(after[flags != FILLED], values[flags != FILLED])
    assert (after[flags == FILLED] > 0).all()
    assert ((distance >= 1) & (distance <= most))[flags == FILLED].all()
    np.testing.assert_array_equal(distance[flags == OBSERVED], 0)
    assert (distance[flags == 0] == NO_DISTANCE).all()
    assert values.min() <= after.min() <= after.max() <= values.max()


@MANY
@given(RANDOM, st.integers(1, 8), st.integers(1, 9))
def test_interpolation_is_the_same_in_reversed_time(random: np.random.Generator, periods: int, most: int) -> None:
    counts, values, times = series(random, periods)
    forward = filled(counts, values, times, "interpolate", most)
    backward = filled(counts[::-1], values[::-1], -times[::-1], "interpolate", most)
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one, other[::-1])


@MANY
@given(RANDOM, st.integers(1, 8), METHODS, st.integers(1, 9))
def test_a_longer_reach_fills_more_and_changes_no_filled_pixel(
    random: np.random.Generator, periods: int, method: Method, most: int
) -> None:
    counts, values, times = series(random, periods)
    near, near_flags, _ = filled(counts, values, times, method, most)
    far, far_flags, _ = filled(counts, values, times, method, most + 1)
    assert (far_flags >= near_flags).all()
    np.testing.assert_array_equal(far[near_flags > 0], near[near_flags > 0])


@MANY
@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_weighted_mean_is_exact(first: int, second: int, left: int, right: int) -> None:
    mean = weighted(*(np.array([number], np.int64) for number in (first, second, left, right)))
    assert mean[0] == round(Fraction(first * left + second * right, left + right))
