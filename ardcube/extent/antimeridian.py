"""Geometries in degrees across the antimeridian (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry.base import BaseGeometry

_HALF_TURN = 180.0


def unwrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Let each part that crosses the antimeridian without being cut there count on from 180 degrees."""
    parts = []
    for part in _parts(geometry):
        west, _, east, _ = part.bounds
        parts.append(shapely.transform(part, _eastward) if east - west > _HALF_TURN else part)
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def around(geometry: BaseGeometry, central_longitude: float) -> BaseGeometry:
    """Move a geometry by whole turns so that each part lies within 180 degrees of a longitude."""
    first, last = central_longitude - _HALF_TURN, central_longitude + _HALF_TURN
    moved = []
    for part in _parts(geometry):
        west, _, east, _ = part.bounds
        if first < west <= east < min(last, west + _HALF_TURN):  # as nearly all do, and it is the cheaper question
            moved.append(part)
            continue
        whole = unwrapped(part)
        turns = round((central_longitude - whole.centroid.x) / 360)
        moved.append(affinity.translate(whole, 360.0 * turns) if turns else whole)
    return moved[0] if len(moved) == 1 else shapely.union_all(moved)


def joined(geometry: BaseGeometry) -> BaseGeometry:
    """Let geometries that were cut at 180 degrees (RFC 7946, 3.1.9) become one whole that counts on from 180."""
    west, _, east, _ = geometry.bounds
    if west > -_HALF_TURN + 1e-6 or east < _HALF_TURN - 1e-6:
        return geometry
    parts = shapely.get_parts(geometry)
    is_western = np.array([part.bounds[2] <= 0 for part in parts])
    others = parts[~is_western]
    if is_western.all() or not is_western.any() or min(part.bounds[0] for part in others) <= 0:
        return geometry
    return shapely.union_all([*others, *(affinity.translate(part, 360.0) for part in parts[is_western])])


def _parts(geometry: BaseGeometry) -> Sequence[BaseGeometry]:
    """Not `get_parts`, which makes arrays: there is one geometry per item."""
    parts: Sequence[BaseGeometry] = getattr(geometry, "geoms", (geometry,))
    return parts


def _eastward(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Western longitudes counted on from 180."""
    return xy + np.where(xy[:, :1] < 0, (360.0, 0.0), 0.0)
