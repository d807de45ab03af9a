"""Resampling as the pixel contract defines it: whole levels, exact coordinates, a loop over kernel taps."""

import math
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.enums import MaskFlags

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Level:
    """One overview level of a raster, all of it."""

    pixels: NDArray[np.generic]
    """Digital numbers (row, column)."""
    transform: Affine
    """Pixel (column, row) to CRS coordinates: the base's, scaled by the true ratio of the sizes."""
    crs: str
    """CRS as WKT."""
    valid: NDArray[np.bool_]
    """Pixels with data, by the nodata values and the mask of the file (row, column)."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Centres of the output pixels in a source CRS, and how they move with the output column and row."""

    x: Floats
    """Easting of the pixel centres, (row, column) like all the others."""
    y: Floats
    """Northing."""
    dx: tuple[Floats, Floats]
    """Change of easting per output column, per output row."""
    dy: tuple[Floats, Floats]
    """Change of northing per output column, per output row."""


def same_crs(one: str, other: str) -> bool:
    """Whether two texts mean one CRS."""
    return bool(CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True))


def project(
    across: Floats, down: Floats, pixel: tuple[float, float], crs: str, cube_crs: str = "EPSG:4326"
) -> Coordinates:
    """Project the centres of a cube's pixels exactly, pixel by pixel.

    Parameters
    ----------
    across, down : float64 (column,), float64 (row,)
        Pixel centres in units of the cube's CRS.
    pixel : (float, float)
        Step per column and per row, in units of the cube's CRS.
    crs, cube_crs : str
        The source CRS, and that of the cube.
    """
    lon, lat = np.meshgrid(across, down)
    if same_crs(crs, cube_crs):
        zero = np.zeros(lon.shape)
        return Coordinates(lon, lat, (zero + pixel[0], zero), (zero, zero + pixel[1]))
    transformer = Transformer.from_crs(cube_crs, crs, always_xy=True)
    x, y = transformer.transform(lon, lat)
    half_lon, half_lat = pixel[0] / 2, pixel[1] / 2
    x_left, y_left = transformer.transform(lon - half_lon, lat)
    x_right, y_right = transformer.transform(lon + half_lon, lat)
    x_before, y_before = transformer.transform(lon, lat - half_lat)
    x_after, y_after = transformer.transform(lon, lat + half_lat)
    return Coordinates(x, y, (x_right - x_left, x_after - x_before), (y_right - y_left, y_after - y_before))


def output_pixel_in(
    crs: str, centre: tuple[float, float], resolution: float, cube_crs: str = "EPSG:4326"
) -> tuple[float, float]:
    """Sides of an output pixel at a point of a source CRS, along its x and y axis, in units of that CRS."""
    if same_crs(crs, cube_crs):
        return resolution, resolution
    transformer = Transformer.from_crs(cube_crs, crs, always_xy=True)
    lon, lat = transformer.transform(*centre, direction="INVERSE")
    half = resolution / 2
    (x0, y0), (x1, y1) = [transformer.transform(lon + step, lat) for step in (-half, half)]
    (x2, y2), (x3, y3) = [transformer.transform(lon, lat + step) for step in (-half, half)]
    return math.hypot(x1 - x0, x3 - x2), math.hypot(y1 - y0, y3 - y2)


def read_level(
    href: str,
    resolution: float,
    stated_nodata: float | None = None,
    *,
    categories: bool = False,
    cube_crs: str = "EPSG:4326",
) -> Level:
    """Read the level of a raster that the contract chooses, in full.

    Parameters
    ----------
    resolution : float
        Output pixel in units of the cube's CRS.
    stated_nodata : float, optional
        Nodata value that the item states.
    categories : bool
        Whether the pixels are classes, of which only nearest or mode overviews are right.
    """
    with rasterio.open(href) as base:
        full, width, height, driver = base.transform, base.width, base.height, base.driver
        crs, declared, count = base.crs.to_wkt(), base.nodata, len(base.overviews(1))
        kind = {**base.tags(), **base.tags(1), **base.tags(ns="IMAGE_STRUCTURE")}
        stated = {value for value in (stated_nodata, declared) if value is not None}
        pixels, valid = _read(base, stated)
    if full.b or full.d:
        raise ValueError(f"the oracle reads north-up rasters only, {href} has {full!r}")
    made_by = str(kind.get("OVERVIEW_RESAMPLING") or kind.get("OVR_RESAMPLING_ALG") or "").lower()
    reduced = made_by in ("nearest", "mode") if categories else stated_nodata in (None, declared)
    if driver.startswith("JP2"):
        reduced = not categories and not stated
    centre = full.c + full.a * width / 2, full.f + full.e * height / 2
    limit_x, limit_y = (side * (1 + 1e-6) for side in output_pixel_in(crs, centre, resolution, cube_crs))
    chosen = Level(pixels, full, crs, valid)
    for number in range(count if reduced else 0):
        # Opened at a level, the raster *is* that overview: its pixels come as stored, not resampled again.
        with rasterio.open(href, OVERVIEW_LEVEL=number) as overview:
            a, e = full.a * (width / overview.width), full.e * (height / overview.height)
            if abs(a) <= limit_x and abs(e) <= limit_y and abs(a) > abs(chosen.transform.a):
                dn, has_data = _read(overview, stated)
                chosen = Level(dn, Affine(a, 0, full.c, 0, e, full.f), crs, has_data)
    return chosen


def _read(raster: rasterio.DatasetReader, nodata: set[float]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Pixels of the first band and which of them have data.

    0 never has, except in a signed file that declares another number. The smallest number of a signed file never has.
    """
    dn = raster.read(1)
    valid = ~np.isin(dn, list(nodata))
    if dn.dtype.kind == "u" or raster.nodata is None:
        valid &= dn != 0
    if dn.dtype.kind == "i":
        valid &= dn != np.iinfo(dn.dtype).min
    if MaskFlags.per_dataset in raster.mask_flag_enums[0]:
        valid &= raster.read_masks(1) > 0
    return dn, valid


def triangle(t: Floats) -> Floats:
    """Bilinear kernel of half-width 1."""
    return np.maximum(1.0 - np.abs(t), 0.0)


def keys(t: Floats) -> Floats:
    """Cubic convolution kernel of Keys (1981), a = -0.5, of half-width 2."""
    a, t = -0.5, np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


KERNELS = {"bilinear": (triangle, 1.0), "cubic": (keys, 2.0)}


def source_position(level: Level, at: Coordinates) -> tuple[Floats, Floats]:
    """Continuous source column and row of coordinates; longitudes are counted modulo 360."""
    a, _, c, _, e, f, *_ = level.transform
    x = at.x
    if CRS.from_user_input(level.crs).is_geographic:
        middle = c + a * level.pixels.shape[1] / 2
        x = x + 360.0 * np.round((middle - x) / 360.0)
    return (x - c) / a, (at.y - f) / e


def holding_pixel(position: Floats) -> Floats:
    """Index of the pixel along an axis that holds a position; one on an edge belongs to the greater index.

    A position is on an edge if only rounding errors, far below a millionth of a pixel, keep it from being there.
    """
    edge = np.round(position)
    return np.where(np.abs(position - edge) < 1e-6, edge, np.floor(position))


def nearest_pixels(level: Level, at: Coordinates) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Row and column of the pixel that holds each coordinate, and whether the raster has one, (row, column)."""
    height, width = level.pixels.shape
    column, row = (holding_pixel(axis) for axis in source_position(level, at))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)  # false for what cannot be projected
    return *(np.where(inside, axis, 0).astype(np.int64) for axis in (row, column)), inside


def resample(
    level: Level, at: Coordinates, where: NDArray[np.bool_], method: str, nudge: float = 0.0, missing: int = 0
) -> NDArray[np.int64]:
    """Digital numbers of a raster at output pixels, `missing` where there is none, int64 (row, column).

    Parameters
    ----------
    at : Coordinates
        Output pixel centres in the raster's CRS.
    where : bool (row, column)
        Output pixels that are wanted, the rest is 0.
    method : {"nearest", "bilinear", "cubic"}
    nudge : float
        Added to a mean before it is rounded.
    missing : int
        Another number than 0 for rasters in which 0 is data.
    """
    a, e = level.transform.a, level.transform.e
    dn, valid = level.pixels.astype(np.float64), level.valid
    height, width = dn.shape
    u, v = source_position(level, at)
    row, column, inside = nearest_pixels(level, at)
    wanted = where & inside
    wanted[wanted] = valid[row[wanted], column[wanted]]
    result = np.full(u.shape, missing, np.int64)
    if not wanted.any():
        return result
    if method == "nearest":
        result[wanted] = dn[row[wanted], column[wanted]].astype(np.int64)
        return result

    kernel, reach = KERNELS[method]
    u, v = u[wanted], v[wanted]
    # Source pixels per output pixel along each source axis: the length of that row of the Jacobian.
    w_column = np.maximum(1.0, np.hypot(at.dx[0][wanted], at.dx[1][wanted]) / abs(a))
    w_row = np.maximum(1.0, np.hypot(at.dy[0][wanted], at.dy[1][wanted]) / abs(e))
    first_column = np.floor(u - reach * w_column - 0.5).astype(np.int64)
    first_row = np.floor(v - reach * w_row - 0.5).astype(np.int64)
    total, weights = np.zeros(u.shape), np.zeros(u.shape)
    for step_row in range(math.ceil(2 * reach * w_row.max()) + 2):
        i = first_row + step_row
        weight_row = kernel((i + 0.5 - v) / w_row)
        for step_column in range(math.ceil(2 * reach * w_column.max()) + 2):
            j = first_column + step_column
            weight = weight_row * kernel((j + 0.5 - u) / w_column)
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width) & (weight != 0)
            i_in, j_in = i[inside], j[inside]
            weight_in = np.where(valid[i_in, j_in], weight[inside], 0.0)
            total[inside] += weight_in * dn[i_in, j_in]
            weights[inside] += weight_in
    # Only the cubic kernel can leave the range of the data, and it must not turn a valid pixel into nodata.
    low, high = (1, 65535) if level.pixels.dtype.kind == "u" else (-32767, 32767)
    result[wanted] = np.clip(np.rint(total / weights + nudge), low, high).astype(np.int64)
    return result
