"""The cube's pixel grid and its tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox, GeoboxTiles
from shapely.geometry import Polygon, box


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels of the cube's grid, half-open; may reach beyond the grid."""

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

    def grow(self, pixels: int) -> Window:
        """Add `pixels` on every side."""
        return Window(self.y0 - pixels, self.y1 + pixels, self.x0 - pixels, self.x1 + pixels)


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of the tile grid: where a chunk lies in the plane."""

    row: int
    col: int
    window: Window


@dataclass(frozen=True, slots=True)
class Grid:
    """A north-up pixel grid in degrees, anchored to whole multiples of its resolution.

    Coordinates are computed from the whole grid's transform with global indices, never from a part's own,
    so that a pixel has the same coordinates, to the last bit, whichever tile it is computed in.
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
        """Cover `bounds` (west, south, east, north, degrees) as `odc.geo` does: edges snapped outward."""
        geobox = GeoBox.from_bbox(bounds, crs="EPSG:4326", resolution=resolution)
        return cls(geobox.affine.c, geobox.affine.f, resolution, geobox.shape.y, geobox.shape.x)

    @property
    def transform(self) -> Affine:
        """Affine from (column, row) of pixel corners to (longitude, latitude)."""
        return Affine(self.resolution, 0.0, self.west, 0.0, -self.resolution, self.north)

    @property
    def geobox(self) -> GeoBox:
        """The same grid as `odc.geo` sees it."""
        return GeoBox((self.height, self.width), self.transform, "EPSG:4326")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north edges, in degrees."""
        return self.window_bounds(Window(0, self.height, 0, self.width))

    @property
    def central_longitude(self) -> float:
        """Longitude of the middle, in degrees; above 180 for grids across the antimeridian."""
        return self.west + self.width * self.resolution / 2

    def longitude(self, columns: NDArray[np.number]) -> NDArray[np.float64]:
        """Longitude of the centres of global `columns`, in degrees."""
        return self.west + (np.asarray(columns, np.float64) + 0.5) * self.resolution

    def latitude(self, rows: NDArray[np.number]) -> NDArray[np.float64]:
        """Latitude of the centres of global `rows`, in degrees."""
        return self.north - (np.asarray(rows, np.float64) + 0.5) * self.resolution

    def window_bounds(self, window: Window) -> tuple[float, float, float, float]:
        """West, south, east, north edges of a window, in degrees."""
        return (
            self.west + window.x0 * self.resolution,
            self.north - window.y1 * self.resolution,
            self.west + window.x1 * self.resolution,
            self.north - window.y0 * self.resolution,
        )

    def window_box(self, window: Window) -> Polygon:
        """The window as a polygon in degrees."""
        return box(*self.window_bounds(window))

    def tile_counts(self, size: int) -> tuple[int, int]:
        """Rows and columns of the tile grid for tiles of `size` pixels."""
        return -(-self.height // size), -(-self.width // size)

    def tiles(self, size: int) -> Iterator[Tile]:
        """Partition the grid, row by row, into tiles of `size` by `size` pixels; the last ones are smaller."""
        regions = GeoboxTiles(self.geobox, (size, size)).roi
        rows, cols = self.tile_counts(size)
        for row in range(rows):
            for col in range(cols):
                ys, xs = regions[row, col]
                yield Tile(row, col, Window(ys.start, ys.stop, xs.start, xs.stop))
