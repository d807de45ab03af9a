"""Evaluate a cloud mask on the classification of one scene, on the grid of the classification."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from ardcube.errors import PermanentError
from ardcube.pixels.bitmask import Bits, none_set
from ardcube.pixels.masks import SceneMaskHook, classes_of
from ardcube.pixels.morphology import Layout, Words, clean
from ardcube.raster.header import Blocks, Level

ClassTests = Mapping[str, Sequence[Sequence[int]]]
"""Tests of the numbers of each class, by name: pairs of a mask and a value. A number that meets one of the tests,
`number & mask == value`, belongs to the class."""
_MOST_RANGES = 8
"""Ranges of numbers that are compared pixel by pixel; more of them take longer than a table."""


@dataclass(frozen=True, slots=True)
class ClearPixels:
    """Pixels of a window of a classification."""

    clear: Words
    """Pixels that are clear after the clean-up."""
    covered: Words
    """Pixels with data, clear or not."""
    layout: Layout
    cloud_distance: NDArray[np.uint16] | None = None
    """Whole metres to the nearest pixel with a class that is not clear (y, x), up to a limit; None if not needed."""

    @property
    def masked(self) -> Words:
        """Pixels with data that are not clear."""
        masked: Words = self.covered & ~self.clear
        return masked


def clear_pixels(
    mask: SceneMaskHook,
    classes: NDArray[Any],
    nodata: Collection[int],
    pixel: tuple[float, float],
    tests: ClassTests = MappingProxyType({}),
    cloud_metres: int = 0,
) -> ClearPixels:
    """Evaluate a cloud mask on the classification of a scene.

    Parameters
    ----------
    mask : SceneMaskHook
        The cloud mask.
    classes : uint8 or uint16 (y, x)
        Digital numbers of a window of the classification.
    nodata : collection of int
        Digital numbers that mean no data. Their pixels are neither clear nor cloudy.
    pixel : (float, float)
        Height and width of a pixel, in metres.
    tests : ClassTests
        Numbers of the classes that the mask names.
    cloud_metres : int
        Metres up to which distances to cloud are computed; 0 for none.

    Raises
    ------
    PermanentError
        If the mask returns an array of another shape or data type.
    """
    numbers = np.arange(np.iinfo(classes.dtype).max + 1, dtype=classes.dtype)
    known = ~np.isin(numbers, list(nodata))
    clear = np.asarray(_clear_numbers(mask, numbers, tests))
    if clear.shape != numbers.shape or clear.dtype != bool:
        raise PermanentError(
            f"cloud mask {mask.name}: is_clear returned {clear.dtype} {clear.shape}; it must be bool {numbers.shape}"
        )
    disks = mask.clean_up.disks(pixel)
    layout = Layout.of(classes.shape, disks)
    covered = _packed(classes, known, layout)
    cleaned = clean(_packed(classes, known & clear, layout), covered, layout, disks)
    if not cloud_metres:
        return ClearPixels(cleaned, covered, layout)
    from ardcube.kernels.cloud_distance import cloud_distances  # numba takes a second to import

    metres = np.empty(classes.shape, np.uint16)
    cloud_distances(cleaned, covered, layout.start, layout.stride, pixel, cloud_metres, metres)
    return ClearPixels(cleaned, covered, layout, metres)


def sample(words: Words, layout: Layout, pixels: NDArray[np.unsignedinteger[Any]], blocks: Blocks) -> Bits:
    """Return the bits of a mask at pixels of a raster, 0 outside of the mask.

    Parameters
    ----------
    words : Words
        A mask of the window of `blocks`.
    layout : Layout
        Of the mask.
    pixels : uint16 or uint32 (2, y, x)
        Rows and columns of the raster.
    blocks : Blocks
        The window.
    """
    from ardcube.kernels import morphology  # numba takes a second to import

    rows, columns = pixels
    sampled: Bits = none_set(1, *rows.shape)[0]
    morphology.sample_bits(
        words, layout.start, layout.stride, layout.height, layout.width, rows, columns, blocks.row, blocks.column,
        sampled,
    )  # fmt: skip
    return sampled


def sample_distances(
    metres: NDArray[np.uint16], pixels: NDArray[np.unsignedinteger[Any]], blocks: Blocks
) -> NDArray[np.uint16]:
    """Return distances to cloud at pixels of a raster: uint16 (y, x), 65535 outside of them. See `sample`."""
    from ardcube.kernels import cloud_distance  # numba takes a second to import

    rows, columns = pixels
    sampled = np.full(rows.shape, np.iinfo(np.uint16).max, np.uint16)
    cloud_distance.sample_distances(metres, blocks.row, blocks.column, rows, columns, sampled)
    return sampled


@lru_cache(maxsize=256)
def metres_per_pixel(crs: str, level: Level) -> tuple[float, float]:
    """Return the height and the width of a pixel of a raster, in metres.

    Metres are those of the CRS if it is projected, and geodesic lengths at the raster's centre if it is geographic.
    """
    system, t = CRS(crs), level.transform
    unit: float = system.axis_info[0].unit_conversion_factor  # metres, or radians in a geographic CRS
    if not system.is_geographic:
        return abs(t.e) * unit, abs(t.a) * unit
    x, y = t @ (level.width / 2, level.height / 2)
    to_degrees = math.degrees(unit)
    lon, lat, right, up = (value * to_degrees for value in (x, y, abs(t.a) / 2, abs(t.e) / 2))
    geod = system.get_geod()
    assert geod is not None  # every geographic CRS has an ellipsoid
    lons, lats = [lon, lon - right], [lat - up, lat]
    _, _, (height, width) = geod.inv(lons, lats, [lon, lon + right], [lat + up, lat])
    return height, width


def _clear_numbers(mask: SceneMaskHook, numbers: NDArray[Any], tests: ClassTests) -> Any:
    """Return what a mask says of all numbers; a mask that names classes gets their members, bool (number,)."""
    names = classes_of(mask)
    if not names:
        return mask.is_clear(numbers)
    wide = numbers.astype(np.int64)
    members = {
        name: np.logical_or.reduce([wide & bits == value for bits, value in tests[name]], axis=0) for name in names
    }
    with_classes: Any = mask.is_clear
    return with_classes(numbers, members)


def _packed(classes: NDArray[Any], chosen: NDArray[np.bool_], layout: Layout) -> Words:
    """Return the pixels whose digital number is chosen, bool (number,)."""
    from ardcube.kernels import morphology  # numba takes a second to import

    changes = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    lows, spans = changes[::2], changes[1::2] - changes[::2] - 1
    words, kind = layout.zeros(), classes.dtype.type
    if len(lows) > _MOST_RANGES:
        morphology.pack_table(classes, chosen.view(np.uint8), layout.start, layout.stride, words)
    elif classes.size:
        morphology.pack(classes, lows.astype(kind), spans.astype(kind), layout.start, layout.stride, words)
    return words
