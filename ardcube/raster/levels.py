"""Choose the level of a raster that a cube reads: the full raster or an overview (pure).

An overview is read where it can replace the full raster. Its pixel must not be larger than the output pixel on either
axis of the raster, measured at the raster's centre. All windows of a cube therefore read the same level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ardcube.extent.lattice import Lattice, crs_of, is_same_crs, transformer
from ardcube.raster.header import Header, Level, pixel_size

_TOLERANCE = 1e-6
"""Share of an output pixel by which a level's pixel may be larger, because both are computed."""
KEEPS_CATEGORIES = frozenset({"nearest", "mode"})
"""Resampling methods whose overviews hold only numbers of the full raster."""
_FILE_ITEMS = ("OVERVIEW_RESAMPLING", "OVR_RESAMPLING_ALG")
"""Metadata of a file about all its overviews, as GDAL's COG driver and rio-cogeo (6 and later; before) write it."""
_OVERVIEW_ITEM = "RESAMPLING"
"""Metadata of an overview's band, as GDAL writes it when it adds overviews to a GeoTIFF (3.9 and later)."""
WAVELET = "wavelet"
"""Resampling method of the reduced levels of JPEG 2000: weighted means that ignore nodata."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Size of an output pixel at the centre of a raster, in units of the raster's CRS."""

    x: float
    """Change of easting over one output pixel: length of the Jacobian's row."""
    y: float
    """Change of northing over one output pixel."""

    def holds(self, level: Level) -> bool:
        """Return whether a level's pixel is not larger on either axis."""
        limit, t = 1 + _TOLERANCE, level.transform
        return abs(t.a) <= self.x * limit and abs(t.e) <= self.y * limit


def pixel_at(lattice: Lattice, header: Header) -> PixelSize:
    """Return the size of a pixel of a lattice at the centre of a raster, so that all windows read one level."""
    return _pixel_at(lattice, header.crs, header.levels[0])


def category_level(header: Header, pixel: PixelSize, described: str = "") -> Level:
    """Return the coarsest level that holds the categories of the full raster and is fine enough for a cube.

    Parameters
    ----------
    header : Header
        Of the file.
    pixel : PixelSize
        Output pixel at the raster's centre.
    described : str
        How overviews were computed by the definition of the collection, such as `mode`, where the file does not state
        it. Empty if unknown.

    Returns
    -------
    Level
        The full raster, or an overview that is known to be `nearest` or `mode`.
    """
    known = [level for level in header.levels[1:] if (level.resampling or described) in KEEPS_CATEGORIES]
    return _coarsest(header, known, pixel)


def reflectance_levels(
    headers: Sequence[Header], stated: Sequence[int | None], pixels: Sequence[PixelSize]
) -> list[Level]:
    """Return the level to read of each band of an item. Bands that share a grid are read at levels of one size.

    Parameters
    ----------
    headers : sequence of Header
        Of the files of all reflectance bands that the cube reads of the item.
    stated : sequence of int or None
        Nodata value that the item states for each band; None if it states none.
    pixels : sequence of PixelSize
        Output pixel at the centre of each raster.
    """
    grids = [(header.crs, header.levels[0].transform, header.levels[0].shape) for header in headers]
    allowed = [_without_nodata_leaks(*band) for band in zip(headers, stated, strict=True)]
    chosen = []
    for grid, header, pixel, levels in zip(grids, headers, pixels, allowed, strict=True):
        same = [{at.shape for at in other} for other, of in zip(allowed, grids, strict=True) if of == grid]
        chosen.append(_coarsest(header, [at for at in levels if all(at.shape in sizes for sizes in same)], pixel))
    return chosen


def _without_nodata_leaks(header: Header, stated: int | None) -> tuple[Level, ...]:
    """Return the overviews in which no pixel can be a mean of valid pixels and nodata."""
    leaks = stated not in (None, header.nodata)
    if not leaks and header.nodata is not None:
        leaks = any(level.resampling == WAVELET for level in header.levels)
    return () if leaks else header.levels[1:]


def _coarsest(header: Header, overviews: Sequence[Level], pixel: PixelSize) -> Level:
    fitting = [level for level in overviews if pixel.holds(level)]
    return max([header.levels[0], *fitting], key=lambda level: pixel_size(level.transform))


def overview_method(file: Mapping[str, str], overview: Mapping[str, str]) -> str:
    """Return how an overview was computed, such as `mode`; empty if unknown.

    Parameters
    ----------
    file : mapping
        Metadata of the file: text by name.
    overview : mapping
        Metadata of the overview. It has precedence, because a converted file may keep the statement of its source.
    """
    stated = {overview[_OVERVIEW_ITEM]} if _OVERVIEW_ITEM in overview else {file[k] for k in _FILE_ITEMS if k in file}
    methods = {method.strip().lower() for method in stated}
    return methods.pop() if len(methods) == 1 else ""


@lru_cache(maxsize=256)
def _pixel_at(lattice: Lattice, crs: str, base: Level) -> PixelSize:
    """See `pixel_at`. The files of one granule share an entry of the cache."""
    right, up = abs(lattice.step_x) / 2, abs(lattice.step_y) / 2
    if is_same_crs(crs, lattice.crs):
        return PixelSize(2 * right, 2 * up)
    x, y = transformer(crs, lattice.crs).transform(*base.centre)
    xs, ys = transformer(lattice.crs, crs).transform([x - right, x + right, x, x], [y, y, y - up, y + up])
    if crs_of(crs).is_geographic:
        xs = [lon - 360.0 * round((lon - xs[0]) / 360.0) if math.isfinite(lon) else lon for lon in xs]
    return pixel_between(xs, ys)


def pixel_between(xs: Sequence[float], ys: Sequence[float]) -> PixelSize:
    """Return the size of a pixel from the centres of its left, right, lower and upper edges in a raster's CRS.

    Coordinates that cannot be projected give 0, so that the full raster is read.
    """
    sizes = [math.hypot(at[1] - at[0], at[3] - at[2]) for at in (xs, ys)]
    return PixelSize(*sizes) if all(map(math.isfinite, sizes)) else PixelSize(0.0, 0.0)
