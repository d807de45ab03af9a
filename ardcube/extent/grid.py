"""Pixel grid of a cube, in any CRS, and its tiles (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.extent.lattice import DEGREES, Lattice
from ardcube.extent.outline import lattice_boxes, whole_outline, window_outlines
from ardcube.extent.window import Window

if TYPE_CHECKING:  # it takes half a second to import, and few callers need it
    from odc.geo.geobox import GeoBox

_IGNORED = 0.01
"""Fraction of a pixel by which a grid may be smaller than the bounds that it covers, as in odc-geo."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of the tile grid: position and pixels of a chunk."""

    row: int
    col: int
    window: Window


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels of a cube: a window of a lattice, north up.

    Coordinates are computed from global indices, which are counted from the origin of the lattice. A pixel therefore
    has the same coordinates, to the last bit, in every tile and in every grid of the same lattice.
    """

    lattice: Lattice
    row: int
    """Global index of the first row."""
    column: int
    """Global index of the first column."""
    height: int
    width: int

    @classmethod
    def from_bounds(
        cls,
        bounds: tuple[float, float, float, float],
        resolution: float,
        crs: str = DEGREES,
        align: Literal["edge", "center"] = "edge",
    ) -> Grid:
        """Cover bounds with pixels; edges are snapped outward as in `GeoBox.from_bbox`.

        Parameters
        ----------
        bounds : tuple of float
            West, south, east, north, in CRS units.
        resolution : float
            Side of a pixel, in CRS units.
        crs : str
            Authority code, or WKT.
        align : str
            Anchor of the pixels at whole multiples of the resolution: their edges, or their centres.
        """
        shift = 0.0 if align == "edge" else 0.5
        column, width = _snapped(bounds[0] / resolution - shift, bounds[2] / resolution - shift)
        south, height = _snapped(bounds[1] / resolution - shift, bounds[3] / resolution - shift)
        origin = shift * resolution
        return cls(Lattice(crs, origin, origin, resolution, -resolution), -(south + height), column, height, width)

    def __str__(self) -> str:
        return f"{self.height} x {self.width} pixels of {self.lattice}"

    @property
    def window(self) -> Window:
        """The grid as a window of its lattice."""
        return Window(self.row, self.row + self.height, self.column, self.column + self.width)

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the dimensions of rows and columns in a store."""
        return ("latitude", "longitude") if self.lattice.is_geographic else ("y", "x")

    @property
    def metres(self) -> float:
        """Side of a pixel in metres, along a meridian if the CRS is geographic."""
        return abs(self.lattice.step_y) * self.lattice.metres_per_unit

    def to_global(self, window: Window) -> Window:
        """Return the same pixels, counted from the origin of the lattice."""
        return Window(window.y0 + self.row, window.y1 + self.row, window.x0 + self.column, window.x1 + self.column)

    def part(self, window: Window) -> Grid:
        """Return a window of the grid as a grid; its pixels have the same coordinates."""
        return Grid(self.lattice, self.row + window.y0, self.column + window.x0, *window.shape)

    def grow(self, pixels: int) -> Grid:
        """Add `pixels` on every side."""
        return Grid(
            self.lattice, self.row - pixels, self.column - pixels, self.height + 2 * pixels, self.width + 2 * pixels
        )

    @property
    def transform(self) -> Affine:
        """Affine from (column, row) of pixel corners to CRS coordinates."""
        lattice = self.lattice
        return Affine(lattice.step_x, 0.0, lattice.left(self.column), 0.0, lattice.step_y, lattice.top(self.row))

    @property
    def geobox(self) -> GeoBox:
        """The same grid as an `odc.geo` GeoBox."""
        from odc.geo.geobox import GeoBox

        return GeoBox((self.height, self.width), self.transform, self.lattice.crs)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north edges, in CRS units."""
        return self.window_bounds(Window(0, self.height, 0, self.width))

    def x(self, columns: NDArray[np.number]) -> NDArray[np.float64]:
        """Return the eastings or longitudes of the centres of the grid's `columns`, in CRS units."""
        return self.lattice.x(np.asarray(columns) + self.column)

    def y(self, rows: NDArray[np.number]) -> NDArray[np.float64]:
        """Return the northings or latitudes of the centres of the grid's `rows`, in CRS units."""
        return self.lattice.y(np.asarray(rows) + self.row)

    def window_bounds(self, window: Window) -> tuple[float, float, float, float]:
        """Return the west, south, east and north edges of a window, in CRS units."""
        edges, lattice = self.to_global(window), self.lattice
        return lattice.left(edges.x0), lattice.top(edges.y1), lattice.left(edges.x1), lattice.top(edges.y0)

    @property
    def outline(self) -> BaseGeometry:
        """Area in degrees that holds all pixels; it may extend beyond 180 degrees of longitude."""
        return whole_outline(self.lattice, self.window)

    def window_outline(self, window: Window) -> BaseGeometry:
        """Return the area of a window, in degrees and the longitudes of `outline`."""
        edges = self.to_global(window)
        y0, y1, x0, x1 = (np.array([edge]) for edge in (edges.y0, edges.y1, edges.x0, edges.x1))
        outline: BaseGeometry = window_outlines(self.lattice, y0, y1, x0, x1, self.longitudes)[0]
        return outline

    @property
    def longitudes(self) -> tuple[float, float]:
        """Westernmost and easternmost longitude of `outline`, in degrees."""
        west, _, east, _ = self.outline.bounds
        return west, east

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

    @property
    def pixels_by_cell(self) -> dict[tuple[int, int], int]:
        """Pixels of each tile, in one band, by its row and column."""
        return dict(zip(zip(self.rows.tolist(), self.cols.tolist(), strict=True), self.pixels.tolist(), strict=True))

    def boxes(self) -> NDArray[np.object_]:
        """Return each tile as a polygon in CRS units."""
        y0, y1, x0, x1 = self._edges()
        row, column = self.grid.row, self.grid.column
        return lattice_boxes(self.grid.lattice, y0 + row, y1 + row, x0 + column, x1 + column)

    def outlines(self, halo: int = 0) -> NDArray[np.object_]:
        """Return the area of each tile with a halo of `halo` pixels, in degrees: equal to `Grid.window_outline`."""
        y0, y1, x0, x1 = self._edges()
        grid = self.grid
        return window_outlines(
            grid.lattice,
            y0 + (grid.row - halo),
            y1 + (grid.row + halo),
            x0 + (grid.column - halo),
            x1 + (grid.column + halo),
            grid.grow(halo).longitudes,
        )

    def _edges(self) -> tuple[NDArray[np.int64], ...]:
        y0, x0 = self.rows * self.size, self.cols * self.size
        y1, x1 = np.minimum(y0 + self.size, self.grid.height), np.minimum(x0 + self.size, self.grid.width)
        return y0, y1, x0, x1


def _snapped(low: float, high: float) -> tuple[int, int]:
    """Return the index of the first of the whole pixels that cover a range, and their number."""
    first, last = floor(_whole(low)), ceil(_whole(high))
    return first, max(1, last - first)


def _whole(number: float) -> float:
    nearest = round(number)
    return nearest if abs(number - nearest) < _IGNORED else number
