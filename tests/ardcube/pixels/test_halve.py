"""Halving the resolution, against means of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.pixels.halve import halve_mean, halve_nearest
from tests.strategies import MANY, digital_numbers

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def exact(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Return means of blocks, computed with fractions; Python rounds a fraction half to even."""
    height, width = -(-values.shape[0] // 2), -(-values.shape[1] // 2)
    out = np.empty((height, width), values.dtype)
    for row in range(height):
        for col in range(width):
            block = values[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
            valid = [Fraction(number) for number in block if nodata is None or number != nodata]
            out[row, col] = round(sum(valid) / len(valid)) if valid else nodata
    return out


@MANY
@given(digital_numbers(SHAPES), st.sampled_from([0, 65535, 3, None]))
def test_means_of_integers_are_exact_and_rounded_half_to_even(values: NDArray[np.uint16], nodata: int | None) -> None:
    halved = halve_mean(values, nodata)
    assert halved.dtype == np.uint16
    np.testing.assert_array_equal(halved, exact(values, nodata))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "uint32"])
def test_extreme_integers_of_each_type(dtype: str) -> None:
    kind = np.iinfo(dtype)
    values = np.array([[kind.max, kind.max, kind.min], [kind.max, kind.max - 1, kind.min + 1]], dtype)
    np.testing.assert_array_equal(halve_mean(values, kind.min), exact(values, kind.min))


@pytest.mark.parametrize(
    ("block", "mean"),
    [([1, 2, 0, 0], 2), ([2, 3, 0, 0], 2), ([1, 1, 2, 0], 1), ([1, 2, 2, 0], 2), ([1, 1, 1, 3], 2), ([0, 0, 0, 7], 7)],
)
def test_only_valid_pixels_count(block: list[int], mean: int) -> None:
    assert halve_mean(np.array(block, np.uint16).reshape(2, 2), 0).item() == mean


def test_floats_keep_nan_where_no_pixel_is_valid() -> None:
    nan = np.nan
    values = np.array([[1, 2, nan, nan, nan], [nan, 4, nan, nan, 5], [1, 2, 3, nan, nan]], np.float32)
    expected = np.array([[7 / 3, nan, 5], [1.5, 3, nan]], np.float32)
    np.testing.assert_array_equal(halve_mean(values, nan), expected)
    np.testing.assert_array_equal(halve_mean(np.nan_to_num(values, nan=-9), -9.0), np.nan_to_num(expected, nan=-9))


@MANY
@given(digital_numbers(SHAPES), st.integers(0, 4), st.integers(0, 4))
def test_an_array_can_be_halved_in_parts(values: NDArray[np.uint16], row: int, col: int) -> None:
    whole = halve_mean(values, 0)
    for rows in (slice(0, 2 * row), slice(2 * row, None)):
        for cols in (slice(0, 2 * col), slice(2 * col, None)):
            part = values[rows, cols]
            if part.size:
                halves = whole[rows.start // 2 :, cols.start // 2 :]
                found = halve_mean(part, 0)
                np.testing.assert_array_equal(found, halves[: found.shape[0], : found.shape[1]])


def test_the_nearest_pixel_is_the_first_of_its_block() -> None:
    np.testing.assert_array_equal(halve_nearest(np.arange(15).reshape(3, 5)), [[0, 2, 4], [10, 12, 14]])


def test_a_type_without_exact_means_is_refused() -> None:
    with pytest.raises(TypeError, match="int64 has no mean"):
        halve_mean(np.zeros((2, 2), np.int64), 0)
