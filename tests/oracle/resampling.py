"""Resampling as the pixel contract defines it: whole levels, exact coordinates, a loop over kernel taps."""

import math
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

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
    nodata: float | None
    """Nodata value that the file declares."""


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


def project(longitude: Floats, latitude: Floats, pixel: tuple[float, float], crs: str) -> Coordinates:
    """Project the centres of a longitude/latitude grid exactly, pixel by pixel.

    Parameters
    ----------
    longitude, latitude : float64 (column,), float64 (row,)
        Pixel centres in degrees.
    pixel : (float, float)
        Step of longitude per column and of latitude per row, in degrees.
    crs : str
        The source CRS.
    """
    transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    lon, lat = np.meshgrid(longitude, latitude)
    x, y = transformer.transform(lon, lat)
    half_lon, half_lat = pixel[0] / 2, pixel[1] / 2
    x_left, y_left = transformer.transform(lon - half_lon, lat)
    x_right, y_right = transformer.transform(lon + half_lon, lat)
    x_before, y_before = transformer.transform(lon, lat - half_lat)
    x_after, y_after = transformer.transform(lon, lat + half_lat)
    return Coordinates(x, y, (x_right - x_left, x_after - x_before), (y_right - y_left, y_after - y_before))


def output_pixel_in(crs: str, centre: tuple[float, float], resolution: float) -> float:
    """Geometric mean of the sides of an output pixel at a point of the source CRS, in units of that CRS."""
    transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    lon, lat = transformer.transform(*centre, direction="INVERSE")
    half = resolution / 2
    across = [transformer.transform(lon + step, lat) for step in (-half, half)]
    along = [transformer.transform(lon, lat + step) for step in (-half, half)]
    return math.sqrt(math.dist(*across) * math.dist(*along))


def read_level(href: str, resolution: float) -> Level:
    """Read the coarsest level of a raster whose pixel is not larger than the output pixel, in full.

    Parameters
    ----------
    resolution : float
        Output pixel in degrees.
    """
    with rasterio.open(href) as base:
        full, width, height = base.transform, base.width, base.height
        crs, nodata, count = base.crs.to_wkt(), base.nodata, len(base.overviews(1))
        pixels = base.read(1)
    if full.b or full.d:
        raise ValueError(f"the oracle reads north-up rasters only, {href} has {full!r}")
    centre = full.c + full.a * width / 2, full.f + full.e * height / 2
    limit = output_pixel_in(crs, centre, resolution) * (1 + 1e-9)
    chosen, coarsest = Level(pixels, full, crs, nodata), 0.0
    for number in range(count):
        # Opened at a level, the raster *is* that overview: its pixels come as stored, not resampled again.
        with rasterio.open(href, OVERVIEW_LEVEL=number) as overview:
            a, e = full.a * (width / overview.width), full.e * (height / overview.height)
            size = math.sqrt(abs(a * e))
            if coarsest < size <= limit:
                chosen = Level(overview.read(1), Affine(a, 0, full.c, 0, e, full.f), crs, nodata)
                coarsest = size
    return chosen


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


def resample(
    level: Level, at: Coordinates, where: NDArray[np.bool_], nodata: set[float], method: str
) -> NDArray[np.int64]:
    """Digital numbers of a raster at output pixels, 0 where there is none, int64 (row, column).

    Parameters
    ----------
    at : Coordinates
        Output pixel centres in the raster's CRS.
    where : bool (row, column)
        Output pixels that are wanted, the rest is 0.
    nodata : set of float
        Values that are no data besides 0.
    method : {"nearest", "bilinear", "cubic"}
    """
    a, _, c, _, e, f, *_ = level.transform
    dn = level.pixels.astype(np.float64)
    valid = (dn != 0) & ~np.isin(dn, list(nodata))
    height, width = dn.shape

    u, v = (at.x - c) / a, (at.y - f) / e
    column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    wanted = where & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    wanted[wanted] = valid[row[wanted], column[wanted]]
    result = np.zeros(u.shape, np.int64)
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
    result[wanted] = np.clip(np.rint(total / weights), 1, 65535).astype(np.int64)
    return result
