"""Find the pixel centres within a scene's footprint.

The window is divided into squares. Most squares are entirely inside or outside of a polygon, and testing a square costs
as much as testing a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.extent.grid import Grid, Window

_SIDE = 32
"""Side of a square, in pixels."""


@dataclass(frozen=True, slots=True)
class PixelCentres:
    """The pixel centres of a window, and the squares that contain them; computed once for all polygons."""

    lon: NDArray[np.float64]
    """Degrees (x,)."""
    lat: NDArray[np.float64]
    """Degrees (y,)."""
    boxes: NDArray[np.object_]
    """Boxes from the first to the last centre of each square (row, column)."""

    @classmethod
    def of(cls, grid: Grid, window: Window) -> Self:
        """Return the pixel centres of a window."""
        lon = grid.longitude(np.arange(window.x0, window.x1))
        lat = grid.latitude(np.arange(window.y0, window.y1))
        lefts, tops = np.arange(0, len(lon), _SIDE), np.arange(0, len(lat), _SIDE)
        rights, bottoms = np.minimum(lefts + _SIDE, len(lon)) - 1, np.minimum(tops + _SIDE, len(lat)) - 1
        return cls(lon, lat, shapely.box(lon[lefts], lat[bottoms][:, None], lon[rights], lat[tops][:, None]))

    def within(self, polygon: BaseGeometry) -> NDArray[np.bool_]:
        """Return whether each centre is within a polygon, bool (y, x)."""
        shapely.prepare(polygon)
        inside, touched = shapely.contains_properly(polygon, self.boxes), shapely.intersects(polygon, self.boxes)
        mask = inside.repeat(_SIDE, axis=0).repeat(_SIDE, axis=1)[: len(self.lat), : len(self.lon)]
        for i, j in np.argwhere(touched & ~inside):
            square = slice(i * _SIDE, (i + 1) * _SIDE), slice(j * _SIDE, (j + 1) * _SIDE)
            mask[square] = shapely.contains_xy(polygon, self.lon[None, square[1]], self.lat[square[0], None])
        return mask
