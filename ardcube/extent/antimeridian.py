"""Move geometries in degrees across the antimeridian (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry.base import BaseGeometry

_HALF_TURN = 180.0


def unwrap(geometry: BaseGeometry) -> BaseGeometry:
    """Add 360 degrees to the western longitudes of each polygon that crosses the antimeridian without being cut."""
    moved = []
    for polygon in _polygons(geometry):
        west, _, east, _ = polygon.bounds
        moved.append(shapely.transform(polygon, _western_plus_360) if east - west > _HALF_TURN else polygon)
    return moved[0] if len(moved) == 1 else shapely.union_all(moved)


def shift_to_longitude(geometry: BaseGeometry, central_longitude: float) -> BaseGeometry:
    """Shift each polygon by a multiple of 360 degrees, so that it is within 180 degrees of a longitude."""
    first, last = central_longitude - _HALF_TURN, central_longitude + _HALF_TURN
    moved = []
    for polygon in _polygons(geometry):
        west, _, east, _ = polygon.bounds
        if first < west <= east < min(last, west + _HALF_TURN):  # the usual case, and cheap to check
            moved.append(polygon)
            continue
        whole = unwrap(polygon)
        turns = round((central_longitude - whole.centroid.x) / 360)
        moved.append(affinity.translate(whole, 360.0 * turns) if turns else whole)
    return moved[0] if len(moved) == 1 else shapely.union_all(moved)


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
