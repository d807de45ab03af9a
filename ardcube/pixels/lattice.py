"""Pixel grids in any CRS, counted from one origin, and their pixels in the CRS of a source raster.

Coordinates come from global pixel indices. A pixel therefore has the same coordinates, to the last bit, in every
window that it is computed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ardcube.extent.grid import Window
from ardcube.pixels.projection import (
    NODE_SPAN_DEGREES,
    NODE_STEP,
    ROWS,
    Coordinates,
    Projection,
    project_nodes,
)
from ardcube.raster.header import Blocks, Header, Level
from ardcube.raster.levels import PixelSize, pixel_between

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_NODE_SPAN_METRES = 2000.0
"""Most metres between nodes, as far as `NODE_SPAN_DEGREES` on a meridian: cubic interpolation is right to 1e-6 m."""
_WHOLE = 1e-6
"""Share of a pixel by which the edge of a grid may miss a whole multiple of its resolution."""
_OFF_GRID = 1e-3
"""Share of a pixel by which a geobox may miss the pixels of a lattice: its numbers were rounded."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """An endless pixel grid whose rows and columns are parallel to the axes of its CRS."""

    crs: str
    """Authority code where there is one, else WKT."""
    x0: float
    """Left edge of column 0, in CRS units."""
    y0: float
    """Upper edge of row 0 (lower edge where `step_y` is positive), in CRS units."""
    step_x: float
    """Width of a pixel, in CRS units."""
    step_y: float
    """Height of a pixel, in CRS units; negative where rows run southward."""

    @classmethod
    def of_geobox(cls, geobox: GeoBox) -> Self | None:
        """Return the lattice that a geobox belongs to, or None where its axes are rotated or it has no CRS.

        A geobox whose edges are whole multiples of its resolution belongs to the lattice through the origin of the
        CRS, as all others of that resolution. Any other geobox starts a lattice at its corner.
        """
        a, b, c, d, e, f, *_ = geobox.transform
        if b or d or geobox.crs is None:
            return None
        own = cls(str(geobox.crs), c, f, a, e)
        edges = ((own.x0, own.step_x), (own.y0, own.step_y))
        whole = all(abs(edge / step - round(edge / step)) < _WHOLE for edge, step in edges)
        return replace(own, x0=0.0, y0=0.0) if whole else own

    def window(self, geobox: GeoBox) -> Window | None:
        """Return the window of this lattice that a geobox covers, or None where its pixels are others."""
        a, b, c, d, e, f, *_ = geobox.transform
        column, row = (c - self.x0) / self.step_x, (f - self.y0) / self.step_y
        height, width = geobox.shape
        shift = max(abs(column - round(column)), abs(row - round(row)))
        stretch = max(abs(a / self.step_x - 1) * width, abs(e / self.step_y - 1) * height)
        if b or d or max(shift, stretch) > _OFF_GRID or str(geobox.crs) != self.crs:
            return None
        return Window(round(row), round(row) + height, round(column), round(column) + width)

    def x(self, columns: NDArray[np.number]) -> NDArray[np.float64]:
        """Easting of the centres of columns, in CRS units."""
        return self.x0 + (np.asarray(columns, np.float64) + 0.5) * self.step_x

    def y(self, rows: NDArray[np.number]) -> NDArray[np.float64]:
        """Northing of the centres of rows, in CRS units."""
        return self.y0 + (np.asarray(rows, np.float64) + 0.5) * self.step_y

    def pixel_at(self, header: Header) -> PixelSize:
        """Return the size of a pixel of this lattice at a raster's centre, so that all windows read one level."""
        return _pixel_at(self, header.crs, header.levels[0])


def project_window(lattice: Lattice, window: Window, crs: str) -> Projection | ExactProjection:
    """Project a window of a lattice to the CRS of a source.

    Nodes are projected and coordinates between them interpolated, except in two cases. In the same CRS coordinates
    come from the affine transform alone. Longitudes of a source in degrees may jump by 360 between two nodes, so each
    pixel is projected by itself.
    """
    source, target = _crs(crs), _crs(lattice.crs)
    if source.equals(target, ignore_axis_order=True):
        return ExactProjection(lattice, window, None)
    if source.is_geographic:
        return ExactProjection(lattice, window, _transformer(lattice.crs, crs))
    size = max(abs(lattice.step_x), abs(lattice.step_y))
    span = _NODE_SPAN_METRES / target.axis_info[0].unit_conversion_factor
    step = max(1, min(NODE_STEP, int((NODE_SPAN_DEGREES if target.is_geographic else span) / size)))
    return project_nodes(window, step, (lattice.x, lattice.y), _transformer(lattice.crs, crs))


@dataclass(frozen=True, slots=True)
class ExactProjection:
    """A window of a lattice in a source CRS, without interpolation."""

    lattice: Lattice
    window: Window
    transformer: Transformer | None
    """From the lattice's CRS to the source's; None where they are the same."""

    def strips(self) -> Iterator[tuple[slice, Coordinates]]:
        """Yield the coordinates of `ROWS` rows of the window after another."""
        height = self.window.shape[0]
        for top in range(0, height, ROWS):
            rows = slice(top, min(top + ROWS, height))
            yield rows, self.coordinates(np.arange(self.window.y0 + rows.start, self.window.y0 + rows.stop))

    def coordinates(self, rows: NDArray[np.int64]) -> Coordinates:
        """Return the coordinates of rows of the lattice, within the window's columns.

        The change over one pixel is half of that from the pixel before to the pixel after.
        """
        lattice, columns = self.lattice, np.arange(self.window.x0 - 1, self.window.x1 + 1)
        if self.transformer is None:
            shape = len(rows), len(columns) - 2
            x, y = np.meshgrid(lattice.x(columns[1:-1]), lattice.y(rows))
            return Coordinates(x, y, np.full(shape, abs(lattice.step_x)), np.full(shape, abs(lattice.step_y)))
        around = np.arange(rows[0] - 1, rows[-1] + 2)
        lon, lat = self.transformer.transform(*np.meshgrid(lattice.x(columns), lattice.y(around)))
        right, down = lon[1:-1, 2:] - lon[1:-1, :-2], lon[2:, 1:-1] - lon[:-2, 1:-1]
        right, down = (np.remainder(change + 180.0, 360.0) - 180.0 for change in (right, down))
        step_lon = np.hypot(right, down) / 2
        step_lat = np.hypot(lat[1:-1, 2:] - lat[1:-1, :-2], lat[2:, 1:-1] - lat[:-2, 1:-1]) / 2
        return Coordinates(lon[1:-1, 1:-1].copy(), lat[1:-1, 1:-1].copy(), step_lon, step_lat)

    def needed_blocks(self, level: Level, kernel: int) -> Blocks | None:
        """Return the rectangle of a level that kernels of a half-width of `kernel` pixels reach, or None."""
        if self.transformer is None:
            edges = [self.coordinates(np.array([row])) for row in (self.window.y0, self.window.y1 - 1)]
        else:
            edges = [coordinates for _, coordinates in self.strips()]
        t = level.transform
        columns = _range([(at.x - t.c) / t.a for at in edges], [at.step_x / abs(t.a) for at in edges], kernel)
        rows = _range([(at.y - t.f) / t.e for at in edges], [at.step_y / abs(t.e) for at in edges], kernel)
        left, right = max(columns[0], 0), min(columns[1], level.width - 1)
        top, bottom = max(rows[0], 0), min(rows[1], level.height - 1)
        if left > right or top > bottom:
            return None
        height, width = level.block
        needed = np.zeros(level.block_grid, bool)
        needed[top // height : bottom // height + 1, left // width : right // width + 1] = True
        return Blocks(level, needed, top, left, bottom + 1 - top, right + 1 - left)


def nearest_pixels(at: Coordinates, level: Level) -> NDArray[np.int64]:
    """Return the row and column of the pixel of `level` that holds each coordinate, (2, y, x); -1 beyond the level."""
    t = level.transform
    row, column = np.floor((at.y - t.f) / t.e), np.floor((at.x - t.c) / t.a)
    inside = (row >= 0) & (column >= 0) & (row < level.height) & (column < level.width)
    return np.where(inside, (row, column), -1).astype(np.int64)


def _range(centres: list[NDArray[np.float64]], steps: list[NDArray[np.float64]], kernel: int) -> tuple[int, int]:
    """First and last source pixel along an axis that kernels reach; last before first where there is none."""
    low, high = math.inf, -math.inf
    for centre, step in zip(centres, steps, strict=True):
        finite = np.isfinite(centre) & np.isfinite(step)
        reach = kernel * np.maximum(1.0, step[finite]) + 0.5
        low = min(low, (centre[finite] - reach).min(initial=math.inf))
        high = max(high, (centre[finite] + reach).max(initial=-math.inf))
    return (math.floor(low), math.floor(high)) if low <= high else (0, -1)


@lru_cache(maxsize=256)
def _pixel_at(lattice: Lattice, crs: str, base: Level) -> PixelSize:
    """See `Lattice.pixel_at`. The files of one granule share an entry of the cache."""
    right, up = abs(lattice.step_x) / 2, abs(lattice.step_y) / 2
    if _crs(crs).equals(_crs(lattice.crs), ignore_axis_order=True):
        return PixelSize(2 * right, 2 * up)
    x, y = _transformer(crs, lattice.crs).transform(*base.centre)
    return pixel_between(
        *_transformer(lattice.crs, crs).transform([x - right, x + right, x, x], [y, y, y - up, y + up])
    )


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def _crs(code: str) -> CRS:
    return CRS(code)
