"""Evaluation of a mask on a classification, and the size of its pixels on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod

from ardcube.errors import PermanentError
from ardcube.pixels.bitmask import packed, unpacked
from ardcube.pixels.classification import clear_pixels, metres_per_pixel, sample
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.pixels.morphology import CleanUp, Layout
from ardcube.raster.header import Blocks, Level
from tests.ardcube.pixels.naive_clean_up import naive_clean_up
from tests.ardcube.pixels.test_morphology import as_mask, as_words
from tests.strategies import FEW


def level(transform: Affine) -> Level:
    return Level(0, 1000, 2000, transform, (256, 256))


def test_metres_of_a_projected_crs_are_its_own() -> None:
    at = level(Affine(20.0, 0, 600_000, 0, -60.0, 5_200_000))
    assert metres_per_pixel("EPSG:32632", at) == (60.0, 20.0)


def test_feet_are_converted() -> None:
    at = level(Affine(100.0, 0, 1_000_000, 0, -100.0, 500_000))
    assert metres_per_pixel("EPSG:2263", at) == pytest.approx((30.48006096, 30.48006096))  # New York, US survey feet


def test_metres_of_a_geographic_crs_are_geodesic_at_the_centre() -> None:
    at = level(Affine(0.0002, 0, 10.0, 0, -0.0001, 60.0))
    geod = Geod(ellps="WGS84")
    _, _, width = geod.inv(10.2 - 0.0001, 59.95, 10.2 + 0.0001, 59.95)
    _, _, height = geod.inv(10.2, 59.95 - 0.00005, 10.2, 59.95 + 0.00005)
    assert metres_per_pixel("EPSG:4326", at) == pytest.approx((height, width))
    assert (height, width) == pytest.approx((11.1, 11.2), abs=0.1)


def evaluated(
    mask: SCLCloudMaskHook, classes: NDArray[Any], nodata: set[int], pixel: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return the clear pixels of a classification, bool (y, x)."""
    found = clear_pixels(mask, classes, nodata, pixel)
    return as_mask(found.clear, found.layout)


def test_pixels_without_data_are_not_clear() -> None:
    mask = SCLCloudMaskHook(0, 0, allowed_values=(4, 5, 11))
    clear = evaluated(mask, np.array([[0, 4, 11, 9, 5]], np.uint8), {0, 11}, (20.0, 20.0))
    assert clear.tolist() == [[False, True, False, False, True]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("preset", ["demo", "land-water", "odc"])
@FEW
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.02, 0.3, 0.9]))
def test_all_classes_that_are_not_clear_are_cleaned(preset: str, dtype: type, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    classes = np.where(rng.random((60, 75)) < share, 9, 4).astype(dtype)
    classes[rng.random(classes.shape) < 0.1] = 0
    classes[:, 50:] = 99
    mask = SCLCloudMaskHook.from_options(preset=preset)
    found = evaluated(mask, classes, {0, 99}, (20.0, 30.0))
    covered = (classes != 0) & (classes != 99)
    radii = (mask.closing, mask.opening, mask.buffer)
    np.testing.assert_array_equal(found, covered & ~naive_clean_up(classes == 9, covered, radii, (20.0, 30.0)))


def test_opening_drops_a_speck_of_cloud_and_closing_fills_a_gap() -> None:
    classes = np.full((80, 80), 4, np.uint8)
    classes[20, 20] = 9
    classes[40:70, 40:70] = 9
    classes[55, 55] = 4
    clear = evaluated(SCLCloudMaskHook(), classes, {0}, (20.0, 20.0))
    assert clear[20, 20]
    assert not clear[55, 55]


def test_a_mask_that_returns_no_answer_for_each_class_is_refused() -> None:
    @dataclass(frozen=True)
    class Scalar(SCLCloudMaskHook):
        def is_clear(self, numbers: NDArray[Any]) -> Any:
            return True

    with pytest.raises(PermanentError, match=r"cloud mask scl: is_clear returned bool \(\); it must be bool \(256,\)"):
        clear_pixels(Scalar(), np.zeros((3, 3), np.uint8), {0}, (20.0, 20.0))


@FEW
@given(
    seed=st.integers(0, 2**32 - 1), corner=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    kind=st.sampled_from([np.uint16, np.uint32]), width=st.integers(1, 70),
)  # fmt: skip
def test_bits_are_sampled_from_pixels_of_the_raster(seed: int, corner: tuple[int, int], kind: type, width: int) -> None:
    """Pixels before and beyond the window, and beyond the raster, are not set."""
    rng = np.random.default_rng(seed)
    mask = rng.random((60, 130)) < 0.5
    layout = Layout.of((60, 130), CleanUp(100.0).disks((20.0, 20.0)))
    blocks = Blocks(level(Affine.identity()), np.ones((1, 1), bool), *corner, 60, 130)
    pixels = rng.integers(0, 200, (2, 40, width)).astype(kind)
    pixels[:, rng.random((40, width)) < 0.1] = np.iinfo(kind).max
    rows, columns = (axis.astype(int) - first for axis, first in zip(pixels, corner, strict=True))
    inside = (rows >= 0) & (columns >= 0) & (rows < 60) & (columns < 130)
    expected = inside & mask[np.where(inside, rows, 0), np.where(inside, columns, 0)]
    found = sample(as_words(mask, layout), layout, pixels, blocks)
    np.testing.assert_array_equal(unpacked(found, width), expected)
    np.testing.assert_array_equal(found, packed(expected))
