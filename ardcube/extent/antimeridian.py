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
_SAME = 1e-9
"""Degrees by which two equal longitudes may differ."""
_WORLD = shapely.box(-_HALF_TURN, -90.0, _HALF_TURN, 90.0)


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


def gather(parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """Join parts that are spread over the globe to a geometry that spans as few longitudes as possible.

    Each part is moved by a multiple of 360 degrees. The result begins at -180..180 degrees, and extends beyond 180 if
    it crosses the antimeridian. A part of all longitudes gives -180..180 degrees.
    """
    spans = np.array([(part.bounds[0], part.bounds[2]) for part in parts])
    if (spans[:, 1] - spans[:, 0]).max() >= _TURN - _SAME:
        return shapely.union_all([place(part, -_HALF_TURN, _HALF_TURN) for part in parts]) & _WORLD
    start = _after_largest_gap(spans)
    turns = np.floor((spans[:, 0] - start + _SAME) / _TURN)
    moved = [_turned(part, -int(turn)) for part, turn in zip(parts, turns, strict=True)]
    return shapely.union_all(moved)


def _after_largest_gap(spans: NDArray[np.float64]) -> float:
    """Return the longitude, in -180..180, that follows the longest range of longitudes without a part."""
    west = np.remainder(spans[:, 0] + _HALF_TURN, _TURN) - _HALF_TURN
    west = np.where(west > _HALF_TURN - _SAME, west - _TURN, west)
    order = np.argsort(west, kind="stable")
    west, width = west[order], (spans[:, 1] - spans[:, 0])[order]
    covered = np.maximum.accumulate(west + width)  # easternmost longitude of this part and those before
    before = np.append(covered[-1] - _TURN, covered[:-1])
    before = np.maximum(before, covered[-1] - _TURN)
    gaps = west - before
    return float(west[int(np.argmax(gaps > gaps.max() - _SAME))])


def _polygons(geometry: BaseGeometry) -> Sequence[BaseGeometry]:
    """Return the polygons of a geometry; `shapely.get_parts` is slower, because it creates an array."""
    polygons: Sequence[BaseGeometry] = getattr(geometry, "geoms", (geometry,))
    return polygons


def _western_plus_360(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return xy + np.where(xy[:, :1] < 0, (360.0, 0.0), 0.0)
