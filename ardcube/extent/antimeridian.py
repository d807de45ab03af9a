"""Move geometries in degrees across the antimeridian (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry.base import BaseGeometry

_TURN, _HALF_TURN = 360.0, 180.0


def unwrap(geometry: BaseGeometry) -> BaseGeometry:
    """Add 360 degrees to the western longitudes of each polygon that crosses the antimeridian without being cut."""
    moved = []
    for polygon in _polygons(geometry):
        west, _, east, _ = polygon.bounds
        moved.append(shapely.transform(polygon, _western_plus_360) if east - west > _HALF_TURN else polygon)
    return moved[0] if len(moved) == 1 else shapely.union_all(moved)


def normalize(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry in one piece across the antimeridian, with its centroid within -180..180 degrees.

    Parts are moved by multiples of 360 degrees to be near the largest part, because RFC 7946 cuts at 180 degrees.
    """
    west, _, east, _ = geometry.bounds
    if -_HALF_TURN <= west <= east < min(west, 0.0) + _HALF_TURN:  # the usual case, and cheap to check
        return geometry
    parts = [unwrap(polygon) for polygon in _polygons(geometry)]
    centre = max(parts, key=lambda part: part.area).centroid.x
    near = [_turned(part, round((centre - part.centroid.x) / _TURN)) for part in parts]
    whole = near[0] if len(near) == 1 else shapely.union_all(near)
    return _turned(whole, -math.floor((whole.centroid.x + _HALF_TURN) / _TURN))


def place(geometry: BaseGeometry, west: float, east: float) -> BaseGeometry:
    """Return a geometry at all multiples of 360 degrees at which its bounds meet `west..east`; else at its own."""
    first, _, last, _ = geometry.bounds
    turns = range(math.ceil((west - last) / _TURN), math.floor((east - first) / _TURN) + 1)
    if len(turns) == 0 or (len(turns) == 1 and turns[0] == 0):
        return geometry
    copies = [_turned(geometry, turn) for turn in turns]
    return copies[0] if len(copies) == 1 else shapely.union_all(copies)


def _turned(geometry: BaseGeometry, turns: int) -> BaseGeometry:
    return affinity.translate(geometry, _TURN * turns) if turns else geometry


def join_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """Join polygons that were cut at 180 degrees (RFC 7946, 3.1.9); western longitudes become larger than 180."""
    west, _, east, _ = geometry.bounds
    if west > -_HALF_TURN + 1e-6 or east < _HALF_TURN - 1e-6:
        return geometry
    polygons = shapely.get_parts(geometry)
    is_western = np.array([polygon.bounds[2] <= 0 for polygon in polygons])
    others = polygons[~is_western]
    if is_western.all() or not is_western.any() or min(polygon.bounds[0] for polygon in others) <= 0:
        return geometry
    return shapely.union_all([*others, *(affinity.translate(polygon, 360.0) for polygon in polygons[is_western])])


def _polygons(geometry: BaseGeometry) -> Sequence[BaseGeometry]:
    """Return the polygons of a geometry; `shapely.get_parts` is slower, because it creates an array."""
    polygons: Sequence[BaseGeometry] = getattr(geometry, "geoms", (geometry,))
    return polygons


def _western_plus_360(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return xy + np.where(xy[:, :1] < 0, (360.0, 0.0), 0.0)
