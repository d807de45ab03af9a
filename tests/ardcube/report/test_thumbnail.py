"""Thumbnails: true proportions, averages of valid pixels, small cubes enlarged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.extent.window import Window
from ardcube.report.thumbnail import Thumbnail
from tests.strategies import FEW

pytestmark = pytest.mark.unit


def mean_of(numbers: NDArray[np.uint16], shape: tuple[int, int], block: int, **more: bool) -> NDArray[np.float32]:
    rows, cols, _ = numbers.shape
    return Thumbnail(Window(0, rows, 0, cols), shape).mean(lambda part: numbers[part.slices], block, **more)


@pytest.mark.parametrize(
    ("rows", "cols", "latitude", "most"),
    [
        (3000, 5000, 46.0, 1024),
        (20, 20, 0.0, 1024),
        (20, 20, 70.0, 1024),
        (4000, 60, 10.0, 1024),
        (100, 9000, -60.0, 280),
    ],
)
def test_proportions_are_those_on_the_ground(rows: int, cols: int, latitude: float, most: int) -> None:
    high, wide = Thumbnail.of(Window(0, rows, 0, cols), math.cos(math.radians(latitude)), most).shape
    true = cols * math.cos(math.radians(latitude)) / rows
    assert abs(wide - high * true) <= 0.5 * (1 + true)  # whole pixels
    assert most * 0.4 < max(high, wide) <= most


def test_a_small_cube_is_enlarged_by_a_whole_number_with_nearest() -> None:
    numbers = np.arange(1, 401, dtype=np.uint16).reshape(20, 20, 1)
    thumbnail = Thumbnail.of(Window(0, 20, 0, 20), 1.0, 1024)
    assert thumbnail.shape == (480, 480)
    found = thumbnail.mean(lambda part: numbers[part.slices], 16)
    np.testing.assert_array_equal(found, np.kron(numbers[..., 0], np.ones((24, 24)))[..., None])


def test_valid_pixels_are_averaged_and_nodata_counts_only_where_nothing_else_is() -> None:
    numbers = np.array([[100, 0, 7, 0], [200, 300, 0, 0]], np.uint16)[..., None]
    np.testing.assert_array_equal(mean_of(numbers, (1, 2), 64)[..., 0], [[200, 7]])
    np.testing.assert_array_equal(mean_of(numbers, (2, 2), 64)[..., 0], [[100, 7], [250, np.nan]])
    np.testing.assert_array_equal(mean_of(numbers, (1, 2), 64, zero_is_valid=True)[..., 0], [[150, 1.75]])


@FEW
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(1, 50),
    st.tuples(st.integers(0, 90), st.integers(0, 90)),
)
def test_the_picture_does_not_depend_on_blocks_and_is_the_mean_by_hand(
    size: tuple[int, int], shape: tuple[int, int], block: int, corner: tuple[int, int]
) -> None:
    (rows, cols), (y, x) = size, corner
    window = Window(y, y + rows, x, x + cols)
    numbers = np.random.default_rng(rows).integers(0, 4, (rows, cols, 2)).astype(np.uint16)
    found = Thumbnail(window, shape).mean(lambda part: numbers[part.relative_to(window).slices], block)
    for row in {0, shape[0] // 2, shape[0] - 1}:
        for col in {0, shape[1] // 2, shape[1] - 1}:
            ys, xs = covered(row, rows, shape[0]), covered(col, cols, shape[1])
            for band in range(2):
                part = numbers[np.ix_(ys, xs)][..., band]
                expected = part[part != 0].mean() if part.any() else np.nan
                np.testing.assert_allclose(found[row, col, band], expected, rtol=1e-6)


def covered(target: int, size: int, length: int) -> list[int]:
    """Return the pixels whose centres a pixel of the picture covers, or the pixel that covers its centre."""
    if length >= size:
        return [int((target + 0.5) * size // length)]
    return [index for index in range(size) if (2 * index + 1) * length // (2 * size) == target]


def test_parts_that_were_not_built_are_not_read() -> None:
    numbers = np.full((32, 32, 1), 9, np.uint16)
    thumbnail = Thumbnail(Window(0, 32, 0, 32), (32, 32))
    found = thumbnail.mean(lambda part: None if part.x0 else numbers[part.slices], 16)
    assert np.isnan(found[:, 16:]).all()
    assert (found[:, :16] == 9).all()
