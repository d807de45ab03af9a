"""The oracle: a whole cube at once from whole rasters, in plain NumPy, with no chunk and no window."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import odc.geo.geom
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from tests.oracle.choices import Choice, chosen, metres_to_cloud
from tests.oracle.footprints import footprint, reach
from tests.oracle.items import (
    Item,
    acquisition,
    asset_of,
    in_order,
    moment,
    nodata_of,
    offset_of_collection,
    offset_of_item,
    processing,
    read_catalogue,
    scale_of_item,
    sensor,
    solar_day,
)
from tests.oracle.masks import DEMO, AnyMask, clean, mask_of_item, pixel_in_metres
from tests.oracle.resampling import Coordinates, Floats, Level, nearest_pixels, project, read_level, resample

__all__ = ["OracleCube", "calendar_periods", "median", "oracle_cube", "read_catalogue"]

MISSING = -(2**20)
"""Number of no data; 0 is data in signed files."""
DEGREES = "EPSG:4326"


@dataclass(frozen=True, slots=True)
class OracleCube:
    """A cube as the pixel contract defines it."""

    values: NDArray[np.uint16]
    """Digital numbers (time, y, x, band), 0 where there is no observation."""
    count: NDArray[np.uint16]
    """Clear observations, of one solar day and sensor each (time, y, x)."""
    y: Floats
    """Latitudes or northings of pixel centres, descending."""
    x: Floats
    """Longitudes or eastings of pixel centres, ascending."""
    periods: list[tuple[date, date]]
    """First day of each period, and the first day after it."""
    offset: float
    """Reflectance of the digital number 0."""
    observations: list["Observations"]
    """Of each period."""


@dataclass(frozen=True, slots=True)
class Observations:
    """The observations of one period."""

    days: list[tuple[date, str]]
    """Solar day and sensor of each."""
    numbers: NDArray[np.int64]
    """Digital numbers (observation, band, y, x), 0 where one is not clear and valid."""
    masked: Callable[[], NDArray[np.bool_]]
    """Computes where a scene of each has a class and is not clear: bool (observation, y, x)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Reflectance is the digital number * `scale` + `offset`, within `low` and `high`."""

    scale: float = 0.0001
    offset: float = 0.0
    low: int = 1
    high: int = 65535


@dataclass(frozen=True, slots=True)
class Plane:
    """The output pixels."""

    crs: str
    x: Floats
    y: Floats
    step: tuple[float, float]
    """Change of x per column and of y per row, in units of the CRS."""
    projected: dict[str, Coordinates]
    """Pixel centres by source CRS, because they depend on nothing else of a raster."""
    nudge: float = 0.0
    """Added to a mean before it is rounded."""

    def within(self, outline: shapely.Geometry) -> NDArray[np.bool_]:
        """Return the pixels whose centre is in an outline, bool (row, column)."""
        shapely.prepare(outline)
        lon, lat = np.meshgrid(self.x, self.y)
        if self.crs != DEGREES:
            lon, lat = Transformer.from_crs(self.crs, DEGREES, always_xy=True).transform(lon, lat)
        lon = lon - 360.0 * np.round((lon - outline.centroid.x) / 360.0)
        return shapely.intersects_xy(outline, lon, lat)

    def coordinates(self, level: Level) -> Coordinates:
        """Return the pixel centres in the CRS of a raster."""
        if level.crs not in self.projected:
            self.projected[level.crs] = project(self.x, self.y, self.step, level.crs, self.crs)
        return self.projected[level.crs]


def calendar_periods(start: date | str, end: date | str, months: int) -> list[tuple[date, date]]:
    """Half-open periods of so many months from the month of `start` to the end of the month of `end`."""
    first, last = (date.fromisoformat(str(day)[:7] + "-01") for day in (start, end))
    begin, stop = first.year * 12 + first.month - 1, last.year * 12 + last.month
    bounds = [*range(begin, stop, months), stop]
    return list(pairwise(date(month // 12, month % 12 + 1, 1) for month in bounds))


def median(values: NDArray[np.int64], counted: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Median along the first axis of the values that count, halves to even, 0 where none does."""
    ascending = np.sort(np.where(counted, values, np.inf), axis=0)
    n = counted.sum(axis=0, keepdims=True)
    middle = [np.take_along_axis(ascending, np.maximum(rank, 0), axis=0)[0] for rank in ((n - 1) // 2, n // 2)]
    return np.where(n[0] > 0, np.rint((middle[0] + middle[1]) / 2), 0).astype(np.uint16)


def band_of_item(item: Item, band: str, plane: Plane, where: NDArray[np.bool_], method: str) -> NDArray[np.int64]:
    """Digital numbers of one band of one item in its own encoding, `MISSING` where it has none, (row, column)."""
    asset = asset_of(item["assets"], band)
    if asset is None:
        raise ValueError(f"item {item['id']} has no band {band}")
    level = read_level(asset["href"], plane.step[0], nodata_of(asset), cube_crs=plane.crs)
    return resample(level, plane.coordinates(level), where, method, plane.nudge, MISSING)


def clear_of_item(
    item: Item, plane: Plane, masks: Sequence[AnyMask], *, covered_only: bool = False
) -> NDArray[np.bool_]:
    """Pixels that are clear by the classification, evaluated on its own grid, bool (row, column); or all covered."""
    mask = mask_of_item(masks, item["assets"])
    asset = asset_of(item["assets"], mask.band)
    if asset is None:
        raise ValueError(f"item {item['id']} has no {mask.band}")
    level = read_level(asset["href"], plane.step[0], nodata_of(asset), categories=True, cube_crs=plane.crs)
    covered, bad = mask.covered_and_bad(level)
    clear = covered if covered_only else covered & ~clean(bad, covered, pixel_in_metres(level), mask)
    row, column, inside = nearest_pixels(level, plane.coordinates(level))
    return inside & clear[row, column]


def metres_of_item(item: Item, plane: Plane, masks: Sequence[AnyMask], metres: int) -> Floats:
    """Metres to cloud in the classification of an item, at most `metres`, (row, column)."""
    mask = mask_of_item(masks, item["assets"])
    asset = asset_of(item["assets"], mask.band)
    assert asset is not None
    level = read_level(asset["href"], plane.step[0], nodata_of(asset), categories=True, cube_crs=plane.crs)
    covered, bad = mask.covered_and_bad(level)
    row, column, _ = nearest_pixels(level, plane.coordinates(level))
    cloud = clean(bad, covered, pixel_in_metres(level), mask)
    return metres_to_cloud(cloud, pixel_in_metres(level), metres)[row, column]


def oracle_cube(
    items: Iterable[Item],
    collection: dict[str, Any] | None,
    *,
    bbox: Sequence[float],
    start: date | str,
    end: date | str,
    months: int = 1,
    periods: Sequence[tuple[date, date]] = (),
    resolution: float,
    crs: str = DEGREES,
    anchor: Literal["edge", "center"] = "edge",
    bands: Sequence[str],
    cloud_mask: Literal["none", "scl", "other"] = "none",
    mask: AnyMask | Sequence[AnyMask] = DEMO,
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear",
    nudge: float = 0.0,
    encoding: Encoding | None = None,
    stated: Callable[[Item, str], tuple[float, float]] | None = None,
    choice: Choice | None = None,
    enough: int | None = None,
) -> OracleCube:
    """Compute a whole cube of median composites, or of chosen observations.

    Parameters
    ----------
    items : iterable of dict
        STAC items with hrefs that rasterio can open, in any order; those outside the cube are left out.
    collection : dict or None
        Their STAC collection.
    bbox : (west, south, east, north)
        In degrees; its area in the CRS is snapped outward to whole multiples of the resolution.
    start, end : date or str
        Only year and month count; the end's month is part of the cube.
    months : int
        Length of a period.
    periods : sequence of (date, date), optional
        Half-open periods instead of `start`, `end` and `months`; they may overlap.
    resolution, crs, anchor : float, str, str
        Output pixel in units of the CRS, and the part of it that is at whole multiples.
    cloud_mask, mask : str, SclMask, BitMask or ProbabilityMask
        Whether there is a mask, and its options. Of several masks, an item has the one whose band it has.
    nudge : float
        Added to each mean before it is rounded, to find ties of rounding.
    encoding : Encoding, optional
        Of the cube; by default the scale 0.0001 and the smallest offset of the collection.
    stated : callable, optional
        Scale and offset of the numbers in an item's file of a band; by default what the item or its collection says.
    choice : Choice, optional
        Choice of an observation instead of the median.
    enough : int, optional
        Clear days of a pixel that count, in order of `eo:cloud_cover`; by default all.
    """
    geobox = GeoBox.from_geopolygon(
        odc.geo.geom.box(*bbox, crs=DEGREES).segmented(max(bbox[2] - bbox[0], bbox[3] - bbox[1]) / 100),
        resolution=resolution,
        crs=crs,
        anchor=anchor,
    )
    affine, (height, width) = geobox.affine, geobox.shape
    # Counted from the origin of the CRS, so that all cubes of one resolution have the same coordinates.
    shift = 0.5 if anchor == "center" else 0.0
    first_column, first_row = round(affine.c / resolution - shift), round(-affine.f / resolution + shift)
    x = shift * resolution + (np.arange(first_column, first_column + width) + 0.5) * resolution
    y = shift * resolution - (np.arange(first_row, first_row + height) + 0.5) * resolution
    masks = mask if isinstance(mask, Sequence) else (mask,)
    plane = Plane(crs, x, y, (affine.a, affine.e), {}, nudge)
    box = geobox.extent.to_crs(DEGREES).geom
    periods = list(periods or calendar_periods(start, end, months))

    ordered = in_order(items)
    outlines = {item["id"]: footprint(item) for item in ordered}
    areas = {name: reach(outline, box.centroid.x) for name, outline in outlines.items()}
    here = [item for item in ordered if areas[item["id"]].intersects(box)]
    # Not from items, because they depend on the area.
    offsets = [offset_of_collection(collection, band) for band in bands]
    smallest = min((offset for offset in offsets if offset is not None), default=0.0)
    encoding = encoding or Encoding(offset=smallest)
    stated = stated or partial(_stated, collection)

    cube = np.zeros((len(periods), height, width, len(bands)), np.uint16)
    count = np.zeros((len(periods), height, width), np.uint16)
    observations = []
    for number, (first, stop) in enumerate(periods):
        low, high = (datetime.combine(day, time(), UTC) for day in (first, stop))
        days: dict[tuple[date, str], list[Item]] = {}
        for item in here:
            if low <= moment(item) < high:
                days.setdefault((solar_day(item, outlines[item["id"]]), sensor(item)), []).append(item)
        used = masks if cloud_mask != "none" else ()
        masked = partial(_masked, list(days.values()), areas, plane, used)
        if not days:
            observations.append(Observations([], np.zeros((0, len(bands), height, width), np.int64), masked))
            continue
        encode = partial(_in_encoding, stated=stated, encoding=encoding)
        stated_days = (
            partial(choice.scores, day=day, period=(first, stop)) if choice else _unranked for day, _ in days
        )
        each = [
            _one_day(scenes, areas, plane, bands, used, encode, resampling, choice.metres if choice else 0, rank)
            for scenes, rank in zip(days.values(), stated_days, strict=True)
        ]
        stack = np.stack([fused for fused, _ in each])
        if enough is not None:
            stack[~_first_days(days, areas, plane, used, enough)[:, None].repeat(len(bands), 1)] = 0
        if choice:
            cube[number] = chosen(stack, [scores for _, scores in each])
        for index in () if choice else range(len(bands)):
            cube[number, :, :, index] = median(stack[:, index], stack[:, index] != 0)
        count[number] = (stack != 0).any(axis=1).sum(axis=0)
        observations.append(Observations(list(days), stack, masked))
    return OracleCube(cube, count, y, x, periods, encoding.offset, observations)


def _masked(
    days: Sequence[list[Item]], areas: dict[str, shapely.Geometry], plane: Plane, masks: Sequence[AnyMask]
) -> NDArray[np.bool_]:
    """Pixels where a scene of each day has a class and is not clear, bool (day, row, column)."""
    found = np.zeros((len(days), plane.y.size, plane.x.size), bool)
    for day, scenes in enumerate(days if masks else ()):
        for item in scenes:
            covered = clear_of_item(item, plane, masks, covered_only=True) & ~clear_of_item(item, plane, masks)
            found[day] |= covered & plane.within(areas[item["id"]])
    return found


def _first_days(
    days: dict[tuple[date, str], list[Item]],
    areas: dict[str, shapely.Geometry],
    plane: Plane,
    masks: Sequence[AnyMask],
    most: int,
) -> NDArray[np.bool_]:
    """Pixels where a day is one of the first clear ones by its least cloudy clear scene, bool (day, row, column)."""
    cover = np.full((len(days), plane.y.size, plane.x.size), np.inf)
    is_clear = np.zeros(cover.shape, bool)
    for number, scenes in enumerate(days.values()):
        for item in scenes:
            clear = clear_of_item(item, plane, masks) & plane.within(areas[item["id"]])
            stated = item["properties"].get("eo:cloud_cover")
            cover[number][clear] = np.minimum(cover[number][clear], np.inf if stated is None else stated)
            is_clear[number] |= clear
    place = np.argsort(np.argsort(np.array([f"{day} {name}" for day, name in days])))  # by date, then sensor
    keys = np.lexsort((np.broadcast_to(place[:, None, None], cover.shape), cover, ~is_clear), axis=0)
    rank = np.empty(cover.shape, int)
    np.put_along_axis(rank, keys, np.arange(len(days))[:, None, None], axis=0)
    return is_clear & (rank < most)


def _stated(collection: dict[str, Any] | None, item: Item, band: str) -> tuple[float, float]:
    return scale_of_item(item, collection, band), offset_of_item(item, collection, band)


def _in_encoding(
    dn: NDArray[np.int64],
    item: Item,
    band: str,
    stated: Callable[[Item, str], tuple[float, float]],
    encoding: Encoding,
) -> NDArray[np.int64]:
    """Digital numbers of an item in the cube's encoding, clipped into the valid range; 0 where there is none."""
    scale, offset, cube_scale, cube_offset = (
        Decimal(repr(number)) for number in (*stated(item, band), encoding.scale, encoding.offset)
    )
    different, where = np.unique(dn, return_inverse=True)
    converted = [
        0
        if number == MISSING
        else min(max(_rounded(number * scale + offset - cube_offset, cube_scale), encoding.low), encoding.high)
        for number in different.tolist()
    ]
    return np.array(converted, np.int64)[where].reshape(dn.shape)


def _rounded(reflectance: Decimal, scale: Decimal) -> int:
    """Return an exact quotient, rounded half to even."""
    return round(Fraction(reflectance) / Fraction(scale))


def _one_day(
    scenes: list[Item],
    areas: dict[str, shapely.Geometry],
    plane: Plane,
    bands: Sequence[str],
    masks: Sequence[AnyMask],
    encode: Callable[[NDArray[np.int64], Item, str], NDArray[np.int64]],
    resampling: str,
    metres: int,
    rank: Callable[..., Floats],
) -> tuple[NDArray[np.int64], Floats]:
    """Numbers of one solar day and sensor in the cube's encoding, 0 where none is clear and valid, (band, row, column).

    And the score of the item that gave the first band, (row, column).

    The first scene that is clear at a pixel and valid in a band counts. A scene with a newer processing counts only
    where that processing has no valid pixel, clear or not.
    """
    shape = (plane.y.size, plane.x.size)
    fused, scores = np.zeros((len(bands), *shape), np.int64), np.zeros(shape)
    within = {item["id"]: plane.within(areas[item["id"]]) for item in scenes}
    for item in scenes:
        newer = [
            other
            for other in scenes
            if acquisition(item) and acquisition(other) == acquisition(item) and processing(other) > processing(item)
        ]
        clear, distance = within[item["id"]], np.zeros(shape)
        if masks:
            clear = clear & clear_of_item(item, plane, masks)
        if metres:
            distance = metres_of_item(item, plane, masks, metres)
        ranks = rank(item, distance=distance)
        for index, band in enumerate(bands):
            where = clear & (fused[index] == 0)
            for other in newer:
                where &= band_of_item(other, band, plane, within[other["id"]], resampling) == MISSING
            dn = encode(band_of_item(item, band, plane, where, resampling), item, band)
            fused[index] = np.where(where, dn, fused[index])
            if index == 0:
                scores = np.where(where & (dn != 0), ranks, scores)
    return fused, scores


def _unranked(item: Item, distance: Floats) -> Floats:
    return distance
