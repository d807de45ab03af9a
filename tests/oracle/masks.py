"""The cloud masks of the oracle: whole rasters, disks as sets of pixels, bits and classes written out by hand."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod
from scipy.ndimage import binary_dilation, binary_erosion

from tests.oracle.resampling import Level

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SclMask:
    """Clear classes, and the clean-up of all other pixels, in metres."""

    allowed: tuple[int, ...] = (4, 5)  # vegetation, bare soil
    closing: float = 155.0
    opening: float = 155.0
    buffer: float = 0.0
    band: str = "scl"

    def covered_and_bad(self, level: Level) -> tuple[Mask, Mask]:
        """Return the pixels with a class, and those of them that are not clear."""
        return level.valid, level.valid & ~np.isin(level.pixels, self.allowed)


@dataclass(frozen=True, slots=True)
class BitMask:
    """A pixel is clear if none of some bits is set. Its number without data is given, and 0 is data."""

    band: str
    bits: tuple[int, ...]
    fill: int
    closing: float = 0.0
    opening: float = 0.0
    buffer: float = 0.0

    def covered_and_bad(self, level: Level) -> tuple[Mask, Mask]:
        """Return the pixels with a quality, and those of them that are not clear."""
        numbers = level.pixels.astype(np.int64)
        bad = np.zeros(numbers.shape, bool)
        for bit in self.bits:
            bad |= (numbers // 2**bit) % 2 == 1
        return numbers != self.fill, bad & (numbers != self.fill)


@dataclass(frozen=True, slots=True)
class ProbabilityMask:
    """A pixel is clear below a percentage. All pixels have a probability, also those with 0."""

    band: str
    percent: float
    closing: float = 0.0
    opening: float = 0.0
    buffer: float = 0.0

    def covered_and_bad(self, level: Level) -> tuple[Mask, Mask]:
        """Return all pixels, and those that are not clear."""
        return np.ones(level.pixels.shape, bool), ~(level.pixels < self.percent)


AnyMask = SclMask | BitMask | ProbabilityMask


def mask_of_item(masks: Sequence[AnyMask], assets: Collection[str]) -> AnyMask:
    """Return the mask whose band an item has; with one mask, that mask."""
    return next((mask for mask in masks if mask.band in assets), masks[0])


DEMO = SclMask()
LAND_WATER = SclMask(allowed=(4, 5, 6, 7, 11))
ODC = SclMask(allowed=(2, 4, 5, 6, 7, 11), closing=0.0, opening=40.0, buffer=100.0)


def pixel_in_metres(level: Level) -> tuple[float, float]:
    """Width and height of a pixel: by the CRS if it is projected, else geodesic at the raster's centre."""
    crs, t = CRS.from_user_input(level.crs), level.transform
    if not crs.is_geographic:
        unit = crs.axis_info[0].unit_conversion_factor
        return abs(t.a) * unit, abs(t.e) * unit
    height, width = level.pixels.shape
    lon, lat = t.c + t.a * width / 2, t.f + t.e * height / 2
    geod = Geod(ellps="WGS84")
    _, _, across = geod.inv(lon - t.a / 2, lat, lon + t.a / 2, lat)
    _, _, along = geod.inv(lon, lat - t.e / 2, lon, lat + t.e / 2)
    return across, along


def disk(radius: float, pixel: tuple[float, float]) -> Mask:
    """Pixels whose centre is within a radius in metres, (row, column) with the centre in the middle."""
    columns, rows = (math.floor((radius + 1e-6) / side) for side in pixel)
    y, x = np.mgrid[-rows : rows + 1, -columns : columns + 1]
    return np.hypot(x * pixel[0], y * pixel[1]) <= radius + 1e-6


def clean(bad: Mask, covered: Mask, pixel: tuple[float, float], mask: AnyMask) -> Mask:
    """Close, open and grow a mask; uncovered pixels never change another pixel.

    Parameters
    ----------
    bad : bool (row, column)
        Covered pixels that are not clear.
    covered : bool (row, column)
        Pixels with a class. Those outside of the array are uncovered.
    pixel : (float, float)
        Width and height of a pixel in metres.
    """

    def grow(current: Mask, radius: float) -> Mask:
        return binary_dilation(current & covered, disk(radius, pixel), border_value=0) & covered

    def shrink(current: Mask, radius: float) -> Mask:
        return binary_erosion(current | ~covered, disk(radius, pixel), border_value=1) & covered

    closed = shrink(grow(bad, mask.closing), mask.closing)
    opened = grow(shrink(closed, mask.opening), mask.opening)
    return grow(opened, mask.buffer)
