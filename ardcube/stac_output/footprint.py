"""The area of a cube in degrees, as GeoJSON states it (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.extent.antimeridian import gather
from ardcube.extent.grid import Tiles
from ardcube.extent.reproject import to_degrees

_PARTS = 64
"""Parts into which the longest side of a cube is divided before it is projected, because straight sides bend."""
_DECIMALS = 7
"""Decimals of longitudes and latitudes: about a centimetre."""
_TURN, _HALF_TURN = 360.0, 180.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """The area of tiles."""

    geometry: dict[str, Any]
    """GeoJSON geometry in degrees, cut at the antimeridian."""
    bbox: tuple[float, float, float, float]
    """West, south, east and north in degrees. West is greater than east if the area crosses the antimeridian."""

    @classmethod
    def of(cls, tiles: Tiles) -> Self:
        """Return the area of tiles, exact to the bend of their sides between two vertices.

        Raises
        ------
        ValueError
            If the CRS is not defined at a vertex.
        """
        area = shapely.simplify(shapely.union_all(tiles.boxes()), 0)  # without the corners of tiles on straight sides
        lattice = tiles.grid.lattice
        if not lattice.is_degrees:
            west, south, east, north = area.bounds
            area = shapely.segmentize(area, max(east - west, north - south) / _PARTS)
        whole = gather([to_degrees(polygon, lattice.crs) for polygon in shapely.get_parts(area)])
        west, south, east, north = (round(float(side), _DECIMALS) for side in whole.bounds)
        if east - west >= _TURN:
            west, east = -_HALF_TURN, _HALF_TURN
        elif east > _HALF_TURN:
            east = round(east - _TURN, _DECIMALS)
        return cls(shapely.geometry.mapping(_cut(whole)), (west, south, east, north))


def _cut(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry within -180..180 degrees, cut at the antimeridian as RFC 7946 demands."""
    west, _, east, _ = geometry.bounds
    first, last = (int(np.floor((side + _HALF_TURN) / _TURN)) for side in (west, np.nextafter(east, west)))
    parts = []
    for turn in range(first, last + 1):
        middle = turn * _TURN
        part = geometry & shapely.box(middle - _HALF_TURN, -90.0, middle + _HALF_TURN, 90.0)
        parts += [shapely.transform(polygon, _to_turn(turn)) for polygon in shapely.get_parts(part) if polygon.area > 0]
    polygons = [shapely.geometry.polygon.orient(part) for part in parts]  # exterior rings counterclockwise
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def _to_turn(turn: int) -> Any:
    def moved(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.round(xy - [turn * _TURN, 0.0], _DECIMALS)

    return moved
