"""Points in polygons, in exact arithmetic: a point on an edge is inside."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Polygon


def covered(polygons: list[Polygon], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether one of the polygons contains each of the points, in the plane of their coordinates."""
    points = zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)
    inside = [any(_covers(polygon, *map(Fraction, point)) for polygon in polygons) for point in points]
    return np.array(inside, bool).reshape(x.shape)


def _covers(polygon: Polygon, x: Fraction, y: Fraction) -> bool:
    """Count the edges that a ray to the east crosses; an edge that holds the point decides at once."""
    crossings = 0
    for ring in (polygon.exterior, *polygon.interiors):
        vertices = [(Fraction(a), Fraction(b)) for a, b in ring.coords]
        for (x0, y0), (x1, y1) in pairwise(vertices):
            turn = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
            if turn == 0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
                return True
            if (y0 > y) != (y1 > y):
                crossings += (turn > 0) == (y1 > y0)
    return crossings % 2 == 1
