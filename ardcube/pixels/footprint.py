"""Which pixel centres lie within a polygon.

Square by square: few of them lie across its outline, and to ask of one pixel costs as much as of a square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.extent.grid import Grid, Window

_CELL = 32
"""Side of the squares, in pixels."""


@dataclass(frozen=True, slots=True)
class Centres:
    """Of a window, and the squares that they fall into: worked out once for all polygons that are asked about."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    boxes: NDArray[np.object_]
    """From the first centre to the last one of each square (row, column)."""

    @classmethod
    def of(cls, grid: Grid, window: Window) -> Self:
        """The squares of a window, from its first pixel on."""
        lon = grid.longitude(np.arange(window.x0, window.x1))
        lat = grid.latitude(np.arange(window.y0, window.y1))
        lefts, tops = (np.arange(0, len(places), _CELL) for places in (lon, lat))
        rights, bottoms = (np.minimum(first + _CELL, len(places)) - 1 for first, places in ((lefts, lon), (tops, lat)))
        return cls(lon, lat, shapely.box(lon[lefts], lat[bottoms][:, None], lon[rights], lat[tops][:, None]))

    def within(self, reach: BaseGeometry) -> NDArray[np.bool_]:
        """Which centres lie within a polygon, bool (y, x)."""
        shapely.prepare(reach)
        inside, met = shapely.contains_properly(reach, self.boxes), shapely.intersects(reach, self.boxes)
        mask = inside.repeat(_CELL, axis=0).repeat(_CELL, axis=1)[: len(self.lat), : len(self.lon)]
        for i, j in np.argwhere(met & ~inside):
            cell = slice(i * _CELL, (i + 1) * _CELL), slice(j * _CELL, (j + 1) * _CELL)
            mask[cell] = shapely.contains_xy(reach, self.lon[None, cell[1]], self.lat[cell[0], None])
        return mask
