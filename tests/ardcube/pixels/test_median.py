"""The median composite: values that are not 0, halves rounded to the even number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.pixels.median import count_days, median_of_valid, observe, sorting_network
from tests.oracle import cube as oracle
from tests.strategies import FEW, RANDOM, digital_numbers

Stack = NDArray[np.uint16]


def stacks(most_days: int = 12) -> st.SearchStrategy[Stack]:
    return digital_numbers(st.tuples(st.integers(1, most_days), st.integers(1, 4), st.integers(1, 4)))


def long_stack(days: int, seed: int) -> Stack:
    rng = np.random.default_rng([days, seed])
    stack = rng.integers(0, 65536, (days, 6, 7)).astype(np.uint16)
    return np.where(rng.random(stack.shape) < 0.4, 0, stack).astype(np.uint16)


def plain_median(stack: Stack) -> Stack:
    """Pixel by pixel."""
    result = np.zeros(stack.shape[1:], np.uint16)
    for pixel in np.ndindex(result.shape):
        values = stack[:, *pixel]
        values = values[values != 0]
        if len(values):
            result[pixel] = np.rint(np.median(values.astype(np.float64)))
    return result


@FEW
@given(stack=stacks(60))
def test_the_composite_is_the_median_of_values_that_are_not_zero(stack: Stack) -> None:
    expected = plain_median(stack)
    np.testing.assert_array_equal(median_of_valid(stack), expected)
    np.testing.assert_array_equal(oracle.median(stack.astype(np.int64), stack != 0), expected)


@pytest.mark.parametrize("days", [1, 2, 3, 16, 17, 48, 63, 64, 65, 120, 200])
def test_many_days_give_the_same_median(days: int) -> None:
    """On both sides of powers of two, where a sorting network grows by a stage."""
    for seed in range(3):
        stack = long_stack(days, seed)
        expected = plain_median(stack)
        np.testing.assert_array_equal(median_of_valid(stack), expected)


@FEW
@given(stack=stacks(), random=st.randoms(use_true_random=False))
def test_the_order_of_days_and_empty_days_change_nothing(stack: Stack, random: object) -> None:
    order = random.sample(range(len(stack)), len(stack))  # type: ignore[attr-defined]
    more = np.concatenate([stack[order], np.zeros((2, *stack.shape[1:]), np.uint16)])
    np.testing.assert_array_equal(median_of_valid(more), median_of_valid(stack))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([7, 0], 7),
        ([1, 2], 2),
        ([2, 3], 2),
        ([3, 4], 4),
        ([65534, 65535], 65534),
        ([65535, 65535], 65535),
        ([1, 65535], 32768),
        ([0, 5, 0, 9, 1], 5),
    ],
)
def test_values_by_hand(values: list[int], expected: int) -> None:
    stack = np.array(values, np.uint16).reshape(-1, 1, 1)
    result = median_of_valid(stack)
    assert result.dtype == np.uint16
    assert result.tolist() == [[expected]]
    larger = np.full((1, 3), 9, np.uint16)
    assert median_of_valid(stack, larger[:, 1:2]).tolist() == [[expected]]
    assert larger.tolist() == [[9, expected, 9]]


def test_no_day_gives_nodata() -> None:
    assert median_of_valid(np.zeros((0, 2, 3), np.uint16)).tolist() == [[0, 0, 0], [0, 0, 0]]


@FEW
@given(rng=RANDOM, days=st.integers(0, 4), bands=st.integers(1, 4), width=st.integers(1, 40))
def test_days_with_a_value_in_some_band_are_counted(
    rng: np.random.Generator, days: int, bands: int, width: int
) -> None:
    stack = rng.integers(1, 65536, (bands, days, 5, width)).astype(np.uint16) * (
        rng.random((bands, days, 5, width)) < 0.3
    )
    before, seen = rng.random((days, 5, width)) < 0.2, (stack != 0).any(axis=0)
    observed = np.packbits(before, axis=2)
    observe(stack, observed)
    count = count_days(observed, width)
    np.testing.assert_array_equal(observed, np.packbits(before | seen, axis=2))
    assert count.dtype == np.uint16
    np.testing.assert_array_equal(count, (before | seen).sum(axis=0))


@pytest.mark.parametrize("lanes", range(13))
def test_a_sorting_network_sorts_all_rows_of_zeros_and_ones(lanes: int) -> None:
    """A network that sorts every row of zeros and ones sorts everything (Knuth, 5.3.4, theorem Z)."""
    rows = (np.arange(2**lanes)[:, None] >> np.arange(lanes)) & 1
    np.testing.assert_array_equal(_sorted_by(sorting_network(lanes), rows), np.sort(rows, axis=1))


@FEW
@given(lanes=st.integers(13, 200), seed=st.integers(0, 2**32 - 1))
def test_a_long_sorting_network_sorts_too(lanes: int, seed: int) -> None:
    rows = (np.random.default_rng(seed).random((200, lanes)) < np.linspace(0, 1, 200)[:, None]).astype(int)
    np.testing.assert_array_equal(_sorted_by(sorting_network(lanes), rows), np.sort(rows, axis=1))


def _sorted_by(network: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    result = rows.copy()
    for low, high in network:
        pair = result[:, [low, high]]
        result[:, low], result[:, high] = pair.min(axis=1), pair.max(axis=1)
    return result
