"""Find the pixel centres within a scene's footprint.

The window is divided into squares. Most squares are entirely inside or outside of a polygon, and testing a square costs
as much as testing a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, transformer
from ardcube.extent.outline import window_outlines
from ardcube.extent.window import Window

_SIDE = 32
"""Side of a square, in pixels."""


@dataclass(frozen=True, slots=True)
class PixelCentres:
    """The pixel centres of a window, and the squares that contain them; computed once for all polygons."""

    grid: Grid
    window: Window
    squares: NDArray[np.object_]
    """Areas in degrees that contain all pixels of a square (row, column)."""
    _degrees: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    """Longitudes and latitudes of the centres of a square."""

    @classmethod
    def of(cls, grid: Grid, window: Window) -> Self:
        """Return the pixel centres of a window."""
        edges = grid.to_global(window)
        y0, x0 = np.meshgrid(np.arange(edges.y0, edges.y1, _SIDE), np.arange(edges.x0, edges.x1, _SIDE), indexing="ij")
        y1, x1 = np.minimum(y0 + _SIDE, edges.y1), np.minimum(x0 + _SIDE, edges.x1)
        squares = window_outlines(grid.lattice, y0.ravel(), y1.ravel(), x0.ravel(), x1.ravel(), grid.longitudes)
        return cls(grid, window, squares.reshape(y0.shape))

    def within(self, polygon: BaseGeometry) -> NDArray[np.bool_]:
        """Return whether each centre is within a polygon in degrees, bool (y, x)."""
        shapely.prepare(polygon)
        inside, touched = shapely.contains_properly(polygon, self.squares), shapely.intersects(polygon, self.squares)
        height, width = self.window.shape
        mask = inside.repeat(_SIDE, axis=0).repeat(_SIDE, axis=1)[:height, :width]
        for row, column in np.argwhere(touched & ~inside):
            part = mask[row * _SIDE : (row + 1) * _SIDE, column * _SIDE : (column + 1) * _SIDE]
            part[:] = shapely.contains_xy(polygon, *self._centres(int(row), int(column)))
        return mask

    def _centres(self, row: int, column: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitudes and latitudes of the centres of a square, which broadcast to (y, x)."""
        if (row, column) not in self._degrees:
            window, lattice = self.window, self.grid.lattice
            top, left = window.y0 + row * _SIDE, window.x0 + column * _SIDE
            x = self.grid.x(np.arange(left, min(left + _SIDE, window.x1)))[None, :]
            y = self.grid.y(np.arange(top, min(top + _SIDE, window.y1)))[:, None]
            if not lattice.is_degrees:
                west, _ = self.grid.longitudes
                east, north = np.broadcast_arrays(x, y)
                x, y = transformer(lattice.crs, DEGREES).transform(east, north)
                x = x - 360.0 * np.floor((x - west) / 360.0)
            self._degrees[row, column] = x, y
        return self._degrees[row, column]
