"""Pixel grid of a cube, its windows and its tiles (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, overload

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import Polygon, box

if TYPE_CHECKING:  # it takes half a second to import, and few callers need it
    from odc.geo.geobox import GeoBox

_IGNORED = 0.01
"""Fraction of a pixel by which a grid may be smaller than the bounds that it covers, as in odc-geo."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of pixels of the cube's grid; it may extend beyond the grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The region of a (latitude, longitude) array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def split(self, most: int) -> Iterator[Window]:
        """Partition the window, row by row, into nearly equal windows of at most `most` pixels a side."""
        (ys, height), (xs, width) = (self.y0, self.y1 - self.y0), (self.x0, self.x1 - self.x0)
        rows, cols = max(1, -(-height // most)), max(1, -(-width // most))
        for row in range(rows):
            for col in range(cols):
                yield Window(
                    ys + height * row // rows,
                    ys + height * (row + 1) // rows,
                    xs + width * col // cols,
                    xs + width * (col + 1) // cols,
                )

    def relative_to(self, other: Window) -> Window:
        """Return the same pixels, counted from the first pixel of another window."""
        return Window(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)

    def grow(self, pixels: int) -> Window:
        """Add `pixels` on every side."""
        return Window(self.y0 - pixels, self.y1 + pixels, self.x0 - pixels, self.x1 + pixels)


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of the tile grid: position and pixels of a chunk."""

    row: int
    col: int
    window: Window


@dataclass(frozen=True, slots=True)
class Grid:
    """A north-up pixel grid in degrees, anchored to whole multiples of its resolution.

    Coordinates are computed from global indices, which are counted from longitude 0 eastward and from latitude 0
    southward. A pixel therefore has the same coordinates, to the last bit, in every tile and in every grid of the same
    resolution.
    """

    west: float
    """Longitude of the left edge, in degrees."""
    north: float
    """Latitude of the top edge, in degrees."""
    resolution: float
    """Side of a pixel, in degrees."""
    height: int
    width: int

    @classmethod
    def from_bounds(cls, bounds: tuple[float, float, float, float], resolution: float) -> Grid:
        """Cover `bounds` (west, south, east, north, degrees); edges are snapped outward as in `GeoBox.from_bbox`."""
        column, width = _snapped(bounds[0], bounds[2], resolution)
        south, height = _snapped(bounds[1], bounds[3], resolution)
        return cls(column * resolution, (south + height) * resolution, resolution, height, width)

    @property
    def origin(self) -> tuple[int, int]:
        """Global row and column of the first pixel."""
        return -round(self.north / self.resolution), round(self.west / self.resolution)

    def to_global(self, window: Window) -> Window:
        """Return the same pixels, counted from latitude 0 and longitude 0."""
        row, column = self.origin
        return Window(window.y0 + row, window.y1 + row, window.x0 + column, window.x1 + column)

    def grow(self, pixels: int) -> Grid:
        """Add `pixels` on every side."""
        row, column = self.origin
        west, north = (column - pixels) * self.resolution, (pixels - row) * self.resolution
        return Grid(west, north, self.resolution, self.height + 2 * pixels, self.width + 2 * pixels)

    @property
    def transform(self) -> Affine:
        """Affine from (column, row) of pixel corners to (longitude, latitude)."""
        return Affine(self.resolution, 0.0, self.west, 0.0, -self.resolution, self.north)

    @property
    def geobox(self) -> GeoBox:
        """The same grid as an `odc.geo` GeoBox."""
        from odc.geo.geobox import GeoBox

        return GeoBox((self.height, self.width), self.transform, "EPSG:4326")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north edges, in degrees."""
        return self.window_bounds(Window(0, self.height, 0, self.width))

    def longitude(self, columns: NDArray[np.number]) -> NDArray[np.float64]:
        """Return the longitudes of the centres of the grid's `columns`, in degrees."""
        return (np.asarray(columns, np.float64) + (self.origin[1] + 0.5)) * self.resolution

    def latitude(self, rows: NDArray[np.number]) -> NDArray[np.float64]:
        """Return the latitudes of the centres of the grid's `rows`, in degrees."""
        return -(np.asarray(rows, np.float64) + (self.origin[0] + 0.5)) * self.resolution

    def window_bounds(self, window: Window) -> tuple[float, float, float, float]:
        """Return the west, south, east and north edges of a window, in degrees."""
        edges, step = self.to_global(window), self.resolution
        return edges.x0 * step, -edges.y1 * step, edges.x1 * step, -edges.y0 * step

    def window_box(self, window: Window) -> Polygon:
        """Return a window as a polygon in degrees."""
        return box(*self.window_bounds(window))

    def tile_counts(self, size: int) -> tuple[int, int]:
        """Return the rows and columns of the grid of tiles of `size` pixels."""
        return -(-self.height // size), -(-self.width // size)

    def tiles(self, size: int) -> Tiles:
        """Partition the grid, row by row, into tiles of `size` by `size` pixels; edge tiles are smaller."""
        rows, cols = self.tile_counts(size)
        return Tiles(self, size, np.arange(rows * cols))


class Tiles(Sequence[Tile]):
    """Tiles of a grid, held as two arrays because there may be a million; indexing creates a `Tile`.

    Parameters
    ----------
    grid : Grid
        Grid of the cube.
    size : int
        Rows and columns of a tile, in pixels.
    cells : int64 (tile,)
        Indices of the tiles in the full grid of tiles, counted row by row.
    """

    def __init__(self, grid: Grid, size: int, cells: NDArray[np.int64]) -> None:
        self.grid = grid
        self.size = size
        self.rows, self.cols = np.divmod(cells, grid.tile_counts(size)[1])
        """Row and column of each tile, int64 (tile,)."""

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.rows)

    @overload
    def __getitem__(self, which: int) -> Tile: ...
    @overload
    def __getitem__(self, which: slice) -> Tiles: ...
    def __getitem__(self, which: int | slice) -> Tile | Tiles:
        """Return one tile, or the tiles of a slice."""
        if isinstance(which, slice):
            return self.where(np.arange(len(self))[which])
        return next(iter(self.where(np.array([which]))))

    def __iter__(self) -> Iterator[Tile]:
        """Iterate over the tiles."""
        for row, col, *edges in zip(*(array.tolist() for array in (self.rows, self.cols, *self._edges())), strict=True):
            yield Tile(row, col, Window(*edges))

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Tiles:
        """Return the tiles at positions, or where a mask is true."""
        cells = self.rows[chosen] * self.grid.tile_counts(self.size)[1] + self.cols[chosen]
        return Tiles(self.grid, self.size, cells)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels of each tile, in one band: int64 (tile,)."""
        y0, y1, x0, x1 = self._edges()
        return (y1 - y0) * (x1 - x0)

    def boxes(self, halo: int = 0) -> NDArray[np.object_]:
        """Return each tile with a halo of `halo` pixels as a polygon in degrees, equal to `Grid.window_box`."""
        y0, y1, x0, x1 = self._edges()
        (row, column), step = self.grid.origin, self.grid.resolution
        boxes: NDArray[np.object_] = shapely.box(
            (column + x0 - halo) * step,
            -(row + y1 + halo) * step,
            (column + x1 + halo) * step,
            -(row + y0 - halo) * step,
        )
        return boxes

    def _edges(self) -> tuple[NDArray[np.int64], ...]:
        y0, x0 = self.rows * self.size, self.cols * self.size
        y1, x1 = np.minimum(y0 + self.size, self.grid.height), np.minimum(x0 + self.size, self.grid.width)
        return y0, y1, x0, x1


def _snapped(low: float, high: float, step: float) -> tuple[int, int]:
    """Return the index of the first of the whole steps that cover a range, and their number."""
    first, last = floor(_whole(low / step)), ceil(_whole(high / step))
    return first, max(1, last - first)


def _whole(number: float) -> float:
    nearest = round(number)
    return nearest if abs(number - nearest) < _IGNORED else number
