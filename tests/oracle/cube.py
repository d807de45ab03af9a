"""The oracle: a whole cube at once from whole rasters, in plain NumPy, with no chunk and no window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import binary_closing, binary_opening

from tests.oracle.items import (
    Item,
    asset_of,
    footprint,
    in_order,
    moment,
    newest_baselines,
    nodata_of,
    offset_of_collection,
    offset_of_item,
    read_catalogue,
    solar_day,
    with_margin,
)
from tests.oracle.resampling import Coordinates, Floats, project, read_level, resample

__all__ = ["OracleCube", "calendar_periods", "clean_mask", "median", "oracle_cube", "read_catalogue"]

SCALE = 0.0001
CLEAR_CLASSES = (4, 5)  # vegetation, bare soil
RADIUS = 5  # output pixels, of closing and of opening
HALO = 4 * RADIUS  # closing and opening are two dilations and two erosions


@dataclass(frozen=True, slots=True)
class OracleCube:
    """A cube as the pixel contract defines it."""

    values: NDArray[np.uint16]
    """Digital numbers (time, latitude, longitude, band), 0 where there is no observation."""
    count: NDArray[np.uint16]
    """Clear days (time, latitude, longitude)."""
    latitude: Floats
    """Pixel centres in degrees, descending."""
    longitude: Floats
    """Pixel centres in degrees, ascending."""
    periods: list[tuple[date, date]]
    """First day of each period, and the first day after it."""
    offset: float
    """Reflectance is the digital number * 0.0001 + this."""


@dataclass(frozen=True, slots=True)
class Plane:
    """The output pixels, with a halo around the cube that only the mask needs."""

    longitude: Floats
    latitude: Floats
    step: tuple[float, float]
    """Degrees of longitude per column and of latitude per row."""
    projected: dict[str, Coordinates]
    """Pixel centres by source CRS, because they depend on nothing else of a raster."""

    def within(self, outline: shapely.Geometry) -> NDArray[np.bool_]:
        """Return the pixels whose centre is in an outline, bool (row, column)."""
        shapely.prepare(outline)
        return shapely.intersects_xy(outline, *np.meshgrid(self.longitude, self.latitude))


def calendar_periods(start: date | str, end: date | str, months: int) -> list[tuple[date, date]]:
    """Half-open periods of so many months from the month of `start` to the end of the month of `end`."""
    first, last = (date.fromisoformat(str(day)[:7] + "-01") for day in (start, end))
    begin, stop = first.year * 12 + first.month - 1, last.year * 12 + last.month
    bounds = [*range(begin, stop, months), stop]
    return list(pairwise(date(month // 12, month % 12 + 1, 1) for month in bounds))


def clean_mask(bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Closing, then opening of a bad-pixel mask with a disk; pixels outside the array count as bad."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disk = x**2 + y**2 <= RADIUS**2
    # Padded so far that the border, which scipy takes as clear, cannot reach the pixels that are returned.
    wide = np.pad(bad, HALO, constant_values=True)
    clean = binary_opening(binary_closing(wide, disk), disk)
    return clean[HALO:-HALO, HALO:-HALO]


def median(values: NDArray[np.int64], counted: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Median along the first axis of the values that count, halves to even, 0 where none does."""
    ascending = np.sort(np.where(counted, values, np.inf), axis=0)
    n = counted.sum(axis=0, keepdims=True)
    middle = [np.take_along_axis(ascending, np.maximum(rank, 0), axis=0)[0] for rank in ((n - 1) // 2, n // 2)]
    return np.where(n[0] > 0, np.rint((middle[0] + middle[1]) / 2), 0).astype(np.uint16)


def band_of_item(item: Item, band: str, plane: Plane, allowed: NDArray[np.bool_], method: str) -> NDArray[np.int64]:
    """Digital numbers of one band of one item in its own encoding, 0 where it has none, (row, column)."""
    asset = asset_of(item["assets"], band)
    if asset is None:
        return np.zeros(allowed.shape, np.int64)
    level = read_level(asset["href"], plane.step[0])
    if level.crs not in plane.projected:
        plane.projected[level.crs] = project(plane.longitude, plane.latitude, plane.step, level.crs)
    nodata = {value for value in (nodata_of(asset), level.nodata) if value is not None}
    how = "nearest" if band.lower() == "scl" else method
    return resample(level, plane.projected[level.crs], allowed, nodata, how)


def oracle_cube(
    items: Iterable[Item],
    collection: dict[str, Any] | None,
    *,
    bbox: Sequence[float],
    start: date | str,
    end: date | str,
    months: int = 1,
    resolution: float,
    bands: Sequence[str],
    cloud_mask: Literal["none", "scl"] = "none",
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear",
) -> OracleCube:
    """Compute a whole cube of median composites.

    Parameters
    ----------
    items : iterable of dict
        STAC items with hrefs that rasterio can open, in any order; those outside the cube are left out.
    collection : dict or None
        Their STAC collection.
    bbox : (west, south, east, north)
        In degrees; snapped outward to whole multiples of the resolution.
    start, end : date or str
        Only year and month count; the end's month is part of the cube.
    months : int
        Length of a period.
    resolution : float
        Output pixel in degrees.
    """
    geobox = GeoBox.from_bbox(tuple(bbox), crs="EPSG:4326", resolution=resolution)
    affine, (height, width) = geobox.affine, geobox.shape
    columns, rows = np.arange(-HALO, width + HALO), np.arange(-HALO, height + HALO)
    plane = Plane(affine.c + (columns + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e, (affine.a, affine.e), {})
    box = shapely.box(*geobox.boundingbox.bbox)
    centre_lon = box.centroid.x
    periods = calendar_periods(start, end, months)

    here = [item for item in in_order(items) if with_margin(footprint(item, centre_lon)).intersects(box)]
    of_period = []
    for first, stop in periods:
        low, high = (datetime.combine(day, time(), UTC) for day in (first, stop))
        of_period.append(newest_baselines([item for item in here if low <= moment(item) < high]))

    offset = offset_of_collection(collection, bands[0])
    if offset is None:
        used = [item for chosen in of_period for item in chosen]
        offset = offset_of_item(used[0], collection, bands[0]) if used else 0.0

    cube = np.zeros((len(periods), height, width, len(bands)), np.uint16)
    count = np.zeros((len(periods), height, width), np.uint16)
    inner = (slice(HALO, HALO + height), slice(HALO, HALO + width))
    for number, chosen in enumerate(of_period):
        days: dict[date, list[Item]] = {}
        for item in chosen:
            days.setdefault(solar_day(item), []).append(item)
        if not days:
            continue
        fuse = partial(_one_day, collection=collection, plane=plane, centre_lon=centre_lon, bands=bands)
        fuse = partial(fuse, cloud_mask=cloud_mask, resampling=resampling, offset=offset)
        stack = np.stack([fuse(scenes) for scenes in days.values()])[:, :, *inner]
        for index in range(len(bands)):
            cube[number, :, :, index] = median(stack[:, index], stack[:, index] != 0)
        count[number] = (stack != 0).any(axis=1).sum(axis=0)
    return OracleCube(cube, count, plane.latitude[inner[0]], plane.longitude[inner[1]], periods, offset)


def _one_day(
    scenes: list[Item],
    *,
    collection: dict[str, Any] | None,
    plane: Plane,
    centre_lon: float,
    bands: Sequence[str],
    cloud_mask: str,
    resampling: str,
    offset: float,
) -> NDArray[np.int64]:
    """Fused and masked numbers of one solar day in the cube's encoding, 0 where none, (band, row, column)."""
    shape = (plane.latitude.size, plane.longitude.size)
    fused = np.zeros((len(bands), *shape), np.int64)
    classes = np.zeros(shape, np.int64)
    for item in scenes:
        allowed = plane.within(with_margin(footprint(item, centre_lon)))
        for index, band in enumerate(bands):
            dn = band_of_item(item, band, plane, allowed, resampling)
            if band.lower() != "scl":
                shift = round((offset_of_item(item, collection, band) - offset) / SCALE)
                dn = np.where(dn != 0, np.clip(dn + shift, 1, 65535), 0)
            fused[index] = np.where(fused[index] != 0, fused[index], dn)
        if cloud_mask == "scl":
            seen = band_of_item(item, "scl", plane, allowed, "nearest")
            classes = np.where(classes != 0, classes, seen)
    if cloud_mask == "scl":
        fused[:, clean_mask(~np.isin(classes, CLEAR_CLASSES))] = 0
    return fused
