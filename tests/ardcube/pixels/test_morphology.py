"""Cleaning of masks: equal to a definition by single pixels, and exact within its reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from ardcube.pixels.morphology import CleanUp, Layout, Words, disk
from ardcube.pixels.morphology import clean as clean_words
from tests.ardcube.pixels.naive_clean_up import naive_clean_up
from tests.strategies import FEW

Mask = NDArray[np.bool_]
Pixel = tuple[float, float]

RADII = st.sampled_from([0.0, 5.0, 20.0, 40.0, 100.0, 155.0]) | st.floats(0.0, 200.0)
PIXELS: st.SearchStrategy[Pixel] = st.sampled_from([(20.0, 20.0), (20.0, 60.0), (31.0, 21.5), (7.0, 20.0)])
SHARES = st.sampled_from([0.0, 0.005, 0.05, 0.3, 0.7, 0.95, 0.995, 1.0])
SEEDS = st.integers(0, 2**32 - 1)


def clean(bad: Mask, covered: Mask, radii: CleanUp, pixel: Pixel) -> Mask:
    """Return the covered pixels that are not clear after the clean-up."""
    disks = radii.disks(pixel)
    layout = Layout.of((bad.shape[0], bad.shape[1]), disks)
    cleaned = clean_words(as_words(covered & ~bad, layout), as_words(covered, layout), layout, disks)
    return covered & ~as_mask(cleaned, layout)


def as_words(mask: Mask, layout: Layout) -> Words:
    """Pack bool (y, x) into words; the first pixel is the lowest bit."""
    words = layout.zeros()
    columns = -(-layout.width // 64)
    bits = np.packbits(np.pad(mask, ((0, 0), (0, -layout.width % 64))), axis=1, bitorder="little")
    rows_of(words, layout)[:, :columns] = bits.view("<u8").reshape(layout.height, columns)
    return words


def as_mask(words: Words, layout: Layout) -> Mask:
    """Unpack words to bool (y, x), and check that the words around the mask are 0."""
    rows, columns = rows_of(words, layout), -(-layout.width // 64)
    bits = np.unpackbits(np.ascontiguousarray(rows[:, :columns]).view(np.uint8), axis=1, bitorder="little").view(bool)
    assert not bits[:, layout.width :].any()
    assert np.count_nonzero(words) == np.count_nonzero(rows[:, :columns])
    return bits[:, : layout.width]


def rows_of(words: Words, layout: Layout) -> Words:
    """Return words (y, stride) of the rows of a mask."""
    return words[layout.start : layout.start + layout.height * layout.stride].reshape(layout.height, layout.stride)


def random_mask(seed: int, shape: tuple[int, int], share: float) -> Mask:
    return np.random.default_rng(seed).random(shape) < share


def everything(mask: Mask) -> Mask:
    return np.ones(mask.shape, bool)


def patches(seed: int, shape: tuple[int, int], share: float) -> Mask:
    """Return a mask of squares, as swaths and clouds have."""
    coarse = random_mask(seed, (-(-shape[0] // 9), -(-shape[1] // 9)), share)
    return coarse.repeat(9, axis=0).repeat(9, axis=1)[: shape[0], : shape[1]]


# ---- disks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("radius", "pixel", "half_widths"),
    [
        (0.0, (20.0, 20.0), [0]),
        (19.9, (20.0, 20.0), [0]),
        (20.0, (20.0, 20.0), [1, 0]),
        (100.0, (20.0, 20.0), [5, 4, 4, 4, 3, 0]),  # 3 * 3 + 4 * 4 = 5 * 5
        (155.0, (20.0, 20.0), [7, 7, 7, 7, 6, 5, 4, 3]),
        (60.0, (20.0, 60.0), [1, 0, 0, 0]),
        (60.0, (60.0, 20.0), [3, 0]),
    ],
)
def test_a_pixel_belongs_to_a_disk_if_its_centre_is_within_the_radius(
    radius: float, pixel: Pixel, half_widths: list[int]
) -> None:
    assert disk(radius, pixel).tolist() == half_widths


# ---- cleaning ------------------------------------------------------------------------------------


@FEW
@given(
    seed=SEEDS, height=st.integers(1, 60), width=st.integers(1, 140), share=SHARES, covered=SHARES,
    radii=st.tuples(RADII, RADII, RADII), pixel=PIXELS,
)  # fmt: skip
def test_cleaning_equals_the_definition_with_neutral_pixels(
    seed: int, height: int, width: int, share: float, covered: float, radii: tuple[float, float, float], pixel: Pixel
) -> None:
    shape = (height, width)
    for make in (random_mask, patches):
        bad, within = make(seed, shape, share), make(seed + 1, shape, covered)
        cleaned = clean(bad, within, CleanUp(*radii), pixel)
        np.testing.assert_array_equal(cleaned, naive_clean_up(bad, within, radii, pixel))


@pytest.mark.parametrize("width", [1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("radius", [1, 5, 7.75, 63, 64, 65, 100])
def test_closing_is_that_of_euclidean_distances(width: int, radius: float) -> None:
    """Across words of 64 pixels: a pixel is dilated if its distance to a set pixel is at most the radius."""
    mask = random_mask(width, (7, width), 0.01)
    mask[3, width // 2] = True
    plane = np.pad(mask, 2 * math.ceil(radius) + 1)
    closed = ~dilated(~dilated(plane, radius), radius)
    np.testing.assert_array_equal(clean(plane, everything(plane), CleanUp(radius, 0), (1.0, 1.0)), closed)


def dilated(mask: Mask, radius: float) -> Mask:
    distances: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return np.rint(distances**2) <= radius**2 if mask.any() else mask


@FEW
@given(
    seed=SEEDS, share=SHARES, covered=SHARES, radii=st.tuples(RADII, RADII, RADII), pixel=PIXELS,
    corner=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)  # fmt: skip
def test_a_window_with_its_reach_has_the_pixels_of_the_whole_raster(
    seed: int, share: float, covered: float, radii: tuple[float, float, float], pixel: Pixel, corner: tuple[int, int]
) -> None:
    up = CleanUp(*radii)
    bad, within = patches(seed, (150, 170), share), patches(seed + 1, (150, 170), covered)
    whole = clean(bad, within, up, pixel)
    rows, columns = (math.floor(up.reach / side) for side in pixel)
    top, left = max(0, corner[0] - rows), max(0, corner[1] - columns)
    part = slice(top, corner[0] + 30 + rows), slice(left, corner[1] + 40 + columns)
    cleaned = clean(bad[part], within[part], up, pixel)
    there = slice(corner[0], corner[0] + 30), slice(corner[1], corner[1] + 40)
    inside = slice(corner[0] - top, corner[0] - top + 30), slice(corner[1] - left, corner[1] - left + 40)
    np.testing.assert_array_equal(cleaned[inside], whole[there])


def test_a_reach_shorter_by_one_pixel_is_too_short() -> None:
    """Some mask has other values without the outermost column of its reach."""
    up, pixel, reach, differs = CleanUp(2.0, 2.0), (1.0, 1.0), 8, False
    for share in (0.05, 0.2, 0.5, 0.8, 0.95):
        plane = random_mask(0, (40, 400), share)
        whole = clean(plane, everything(plane), up, pixel)
        for start in range(reach, 392):
            column = slice(start - reach + 1, start + reach)
            part = clean(plane[:, column], everything(plane[:, column]), up, pixel)[:, reach - 1]
            differs |= bool((part[reach:-reach] != whole[reach:-reach, start]).any())
    assert differs


def test_gaps_close_specks_vanish_and_the_rest_grows() -> None:
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    mask[30, 30] = False
    mask[5, 5] = True
    cleaned = clean(mask, everything(mask), CleanUp(60.0, 60.0, 40.0), (20.0, 20.0))
    assert cleaned[30, 30]
    assert not cleaned[5, 5]
    assert cleaned[30].sum() == 24
    assert cleaned[:, 30].sum() == 24


def test_the_edge_of_a_swath_removes_no_clear_land() -> None:
    """Along a slanted edge beyond which nothing is covered, and along the edges of the raster."""
    row, column = np.mgrid[:200, :200]
    covered = column < 90 + row // 4
    nothing = np.zeros((200, 200), bool)
    assert not clean(nothing, covered, CleanUp(155.0, 155.0, 100.0), (20.0, 20.0)).any()
    assert not clean(~covered, covered, CleanUp(155.0, 155.0, 100.0), (20.0, 20.0)).any()
    # A cloud on the edge stays as it would on a plane that continues.
    cloud = covered & (abs(row - 100) < 30)
    np.testing.assert_array_equal(clean(cloud, covered, CleanUp(155.0, 155.0), (20.0, 20.0)), cloud)


def test_the_given_masks_do_not_change() -> None:
    mask, covered = np.eye(9, dtype=bool), np.ones((9, 9), bool)
    result = clean(mask, covered, CleanUp(0.0, 0.0), (20.0, 20.0))
    result[:] = True
    np.testing.assert_array_equal(mask, np.eye(9, dtype=bool))
    assert covered.all()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_a_mask_without_pixels_stays_empty(shape: tuple[int, int]) -> None:
    empty = np.zeros(shape, bool)
    assert clean(empty, empty, CleanUp(155.0, 155.0), (20.0, 20.0)).shape == shape
