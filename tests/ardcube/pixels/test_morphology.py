"""Closing and opening of masks: equal to SciPy, and exact within a halo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from ardcube.pixels.morphology import close_then_open
from tests.oracle.cube import clean_mask
from tests.strategies import FEW, masks

Mask = NDArray[np.bool_]


def disk(radius: int) -> Mask:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x**2 + y**2 <= radius**2


def each_plane(operation: object, mask: Mask, radius: int, border: int) -> Mask:
    planes = mask.reshape(-1, *mask.shape[-2:])
    done = [operation(plane, disk(radius), border_value=border) for plane in planes]  # type: ignore[operator]
    return np.array(done).reshape(mask.shape)


@pytest.mark.parametrize("width", [1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("radius", [0, 1, 5, 63, 64, 65, 100])
def test_closing_and_opening_are_those_of_euclidean_distances(width: int, radius: int) -> None:
    """Across words of 64 pixels: a pixel is dilated if its distance to a set pixel is at most the radius."""
    mask = np.random.default_rng(width * radius).random((7, width)) < 0.01
    mask[3, width // 2] = True
    plane = np.pad(mask, 2 * radius + 1)
    closed = ~dilated(~dilated(plane, radius), radius)
    np.testing.assert_array_equal(close_then_open(plane, radius, 0), closed)
    opened = ~dilated(~plane, 2)
    np.testing.assert_array_equal(close_then_open(plane, 0, 2), dilated(opened, 2))


def dilated(mask: Mask, radius: int) -> Mask:
    distances: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return np.rint(distances**2) <= radius**2 if mask.any() else mask


@FEW
@given(mask=masks(60), closing=st.integers(0, 6), opening=st.integers(0, 6))
def test_pixels_inside_the_halo_have_their_values_on_an_unbounded_plane(mask: Mask, closing: int, opening: int) -> None:
    """Cleaning a crop with its halo gives what cleaning the whole plane gives."""
    halo = 2 * (closing + opening)
    plane = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(2 * halo + 1, 2 * halo + 1)] * 2)
    closed = each_plane(ndimage.binary_closing, plane, closing, border=0)
    expected = each_plane(ndimage.binary_opening, closed, opening, border=0)
    cleaned = close_then_open(plane, closing, opening)
    inner = (..., slice(halo, plane.shape[-2] - halo), slice(halo, plane.shape[-1] - halo))
    np.testing.assert_array_equal(cleaned[inner], expected[inner])

    height, width = mask.shape[-2:]
    crop = (..., slice(halo + 1, halo + 1 + height + 2 * halo), slice(halo + 1, halo + 1 + width + 2 * halo))
    core = (..., slice(halo, halo + height), slice(halo, halo + width))
    there = (..., slice(2 * halo + 1, 2 * halo + 1 + height), slice(2 * halo + 1, 2 * halo + 1 + width))
    np.testing.assert_array_equal(close_then_open(plane[crop], closing, opening)[core], cleaned[there])


def test_a_halo_narrower_by_one_pixel_is_too_narrow() -> None:
    """Some mask has other values without the outermost ring of its halo."""
    rng = np.random.default_rng(0)
    halo, radius = 8, 2
    differs = False
    for share in (0.05, 0.2, 0.5, 0.8, 0.95):
        plane = rng.random((40, 400)) < share
        whole = close_then_open(plane, radius, radius)
        for start in range(halo, 392):
            column = slice(start - halo + 1, start + 1 + halo - 1)
            part = close_then_open(plane[:, column], radius, radius)[:, halo - 1]
            differs |= bool((part[halo:-halo] != whole[halo:-halo, start]).any())
    assert differs


@FEW
@given(mask=masks(40))
def test_closing_and_opening_of_the_scene_classification_equal_the_oracle(mask: Mask) -> None:
    plane = mask.reshape(-1, *mask.shape[-2:])[0]
    wide = np.pad(plane, 40, constant_values=True)
    np.testing.assert_array_equal(close_then_open(wide, 5, 5)[40:-40, 40:-40], clean_mask(plane))


def test_gaps_close_and_specks_vanish() -> None:
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    mask[30, 30] = False
    mask[5, 5] = True
    cleaned = close_then_open(mask, 3, 3)
    assert cleaned[30, 30]
    assert not cleaned[5, 5]
    assert cleaned[25:35, 25:35].all()


def test_the_given_mask_does_not_change() -> None:
    mask = np.eye(9, dtype=bool)
    result = close_then_open(mask, 0, 0)
    result[:] = True
    np.testing.assert_array_equal(mask, np.eye(9, dtype=bool))


@pytest.mark.parametrize("shape", [(0, 5, 5), (3, 0, 5), (0, 5)])
def test_a_mask_without_pixels_stays_empty(shape: tuple[int, ...]) -> None:
    assert close_then_open(np.zeros(shape, bool), 3, 2).shape == shape
