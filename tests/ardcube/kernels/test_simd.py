"""SIMD vectors: each lane equals the same operation on a single number."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.kernels import simd
from tests.strategies import FEW

NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4).map(lambda found: np.array(found, np.float64))


@numba.njit
def computed(one, other):  # type: ignore[no-untyped-def]
    a, b, found = simd.load_float64(one, 0), simd.load_float64(other, 0), np.empty((12, 4))
    total = a + b
    total += b
    simd.store(found[0], 0, total)
    simd.store(found[1], 0, a - b)
    simd.store(found[2], 0, a * b)
    simd.store(found[3], 0, a / b)
    simd.store(found[4], 0, simd.maximum(a, b))
    simd.store(found[5], 0, simd.minimum(a, b))
    simd.store(found[6], 0, simd.absolute(a))
    simd.store(found[7], 0, simd.floor(a))
    simd.store(found[8], 0, simd.rint(a))
    simd.store(found[9], 0, simd.sqrt(simd.absolute(a)))
    simd.store(found[10], 0, simd.zero_after(a, a, b))
    simd.store(found[11], 0, simd.broadcast(one[2]))
    return found, simd.split(a)


@FEW
@given(one=NUMBERS, other=NUMBERS.filter(lambda numbers: bool((np.abs(numbers) > 1e-3).all())))
def test_each_lane_equals_the_operation_on_a_single_number(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> None:
    found, parts = computed(one, other)
    expected = [
        one + other + other, one - other, one * other, one / other, np.where(one > other, one, other),
        np.where(one < other, one, other), np.abs(one), np.floor(one), np.rint(one), np.sqrt(np.abs(one)),
        np.where(one <= other, one, 0.0), np.full(4, one[2]),
    ]  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    assert list(parts) == one.tolist()


@numba.njit
def moved(numbers):  # type: ignore[no-untyped-def]
    found, whole = np.empty((1, 4)), np.empty(4, np.int32)
    simd.prefetch(numbers, len(numbers) + 10_000)
    simd.store(found[0], 0, simd.load(numbers, 3))
    simd.store_int32(whole, 0, simd.load(numbers, 1) - simd.broadcast(7.0))
    return found, whole


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_consecutive_integers_are_loaded_and_stored(dtype: type) -> None:
    numbers = (np.arange(12) * 21 + 2).astype(dtype)
    numbers[4] = np.iinfo(dtype).max
    found, whole = moved(numbers)
    np.testing.assert_array_equal(found, [numbers[3:7]])
    np.testing.assert_array_equal(whole, numbers[1:5].astype(np.int32) - 7)


@numba.njit
def in_range(numbers, index, low, span):  # type: ignore[no-untyped-def]
    return simd.within_range(numbers, index, low, span)


@FEW
@given(
    dtype=st.sampled_from([np.uint8, np.uint16]), seed=st.integers(0, 2**32 - 1), index=st.integers(0, 6),
    bounds=st.tuples(st.integers(0, 255), st.integers(0, 255)),
)  # fmt: skip
def test_numbers_of_a_range_set_their_bits(dtype: type, seed: int, index: int, bounds: tuple[int, int]) -> None:
    low, high = sorted(bounds)
    numbers = np.random.default_rng(seed).integers(0, 260, 70).astype(dtype)
    found = in_range(numbers, index, dtype(low), dtype(high - low))
    expected = (numbers[index : index + 64] >= low) & (numbers[index : index + 64] <= high)
    assert [int(found) >> bit & 1 for bit in range(64)] == expected.astype(int).tolist()


@numba.njit
def turned(numbers):  # type: ignore[no-untyped-def]
    found = np.empty((4, 4))
    one, two, three, four = simd.transpose(
        simd.load_float64(numbers[0], 0), simd.load_float64(numbers[1], 0),
        simd.load_float64(numbers[2], 0), simd.load_float64(numbers[3], 0),
    )  # fmt: skip
    simd.store(found[0], 0, one)
    simd.store(found[1], 0, two)
    simd.store(found[2], 0, three)
    simd.store(found[3], 0, four)
    return found


def test_four_vectors_are_transposed() -> None:
    numbers = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(turned(numbers), numbers.T)
