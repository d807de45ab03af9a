"""Areas of windows of a lattice, in degrees (pure).

An area holds all pixels of its window. It is a little larger where the CRS is projected, because straight edges bend
in degrees.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from ardcube.errors import InputError
from ardcube.extent.antimeridian import place
from ardcube.extent.lattice import DEGREES, Lattice, crs_name, transformer
from ardcube.extent.reproject import to_degrees
from ardcube.extent.window import Window

_GROWTH = 0.01
"""Share of its longer side by which a window grows on every side, more than its sides bend between two vertices."""
_LARGEST_SIDE = 16384
"""Pixels of the longest side that a window may have for `_GROWTH` to suffice: the largest tile."""
_STRAIGHT_METRES = 40_000.0
"""Length of a side that is straight enough in degrees. The bend grows with the square of the length."""
_MOST_SEGMENTS = 32
_TURN = 360.0
_Edges = tuple[NDArray[np.int64], ...]
"""First row and first row after windows, first column and first column after them."""


@lru_cache(maxsize=64)
def whole_outline(lattice: Lattice, window: Window) -> BaseGeometry:
    """Return the area of a window in degrees.

    It is in one piece. Longitudes extend beyond -180..180 across the antimeridian, and the middle of their range is
    within it.

    Raises
    ------
    InputError
        If the CRS is not defined at an edge of the window.
    """
    edges = tuple(np.array([edge]) for edge in (window.y0, window.y1, window.x0, window.x1))
    if lattice.is_degrees:
        area: BaseGeometry = lattice_boxes(lattice, *edges)[0]
        return area
    outline = _around(lattice, edges)
    west, _, east, _ = outline.bounds
    turns = np.floor(((west + east) / 2 + _TURN / 2) / _TURN)
    return outline if turns == 0 else shapely.transform(outline, lambda xy: xy - [turns * _TURN, 0.0])


def window_outlines(
    lattice: Lattice,
    y0: NDArray[np.int64],
    y1: NDArray[np.int64],
    x0: NDArray[np.int64],
    x1: NDArray[np.int64],
    longitudes: tuple[float, float],
) -> NDArray[np.object_]:
    """Return the areas of windows in degrees.

    Parameters
    ----------
    lattice : Lattice
        Grid of the windows.
    y0, y1, x0, x1 : int64 (window,)
        First row and first row after each window, first column and first column after it.
    longitudes : (float, float)
        Range of longitudes in which areas are placed; at both ends, if they meet both.

    Returns
    -------
    object (window,)
        Polygons.
    """
    if lattice.is_degrees:
        return lattice_boxes(lattice, y0, y1, x0, x1)
    rings = _rings(lattice, (y0, y1, x0, x1), _GROWTH)
    lon, lat = transformer(lattice.crs, DEGREES).transform(rings[..., 0], rings[..., 1])
    lon = lon - _TURN * np.cumsum(np.round(np.diff(lon, axis=1, prepend=lon[:, :1]) / _TURN), axis=1)
    # Around a pole the longitudes do not close; at a pole a vertex has none.
    is_simple = np.isfinite(lon + lat).all(axis=1) & (np.abs(lon[:, -1] - lon[:, 0]) < _TURN / 2)
    is_simple &= (np.abs(np.diff(lon, axis=1)) < _TURN / 4).all(axis=1)
    areas = np.empty(len(rings), object)
    areas[is_simple] = shapely.polygons(np.stack([lon[is_simple], lat[is_simple]], axis=-1))
    for index in np.flatnonzero(~is_simple):
        areas[index] = _around(lattice, tuple(edge[index : index + 1] for edge in (y0, y1, x0, x1)))
    west, east = longitudes
    first, _, last, _ = shapely.bounds(areas).T
    for index in np.flatnonzero((first < west) | (last > east)):
        areas[index] = place(areas[index], west, east)
    return areas


def lattice_boxes(
    lattice: Lattice, y0: NDArray[np.int64], y1: NDArray[np.int64], x0: NDArray[np.int64], x1: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Return windows as polygons in CRS units, object (window,)."""
    step_x, step_y = lattice.step_x, lattice.step_y
    boxes: NDArray[np.object_] = shapely.box(
        lattice.x0 + x0 * step_x, lattice.y0 + y1 * step_y, lattice.x0 + x1 * step_x, lattice.y0 + y0 * step_y
    )
    return boxes


def _around(lattice: Lattice, edges: _Edges) -> BaseGeometry:
    """Return the area of one window in degrees. Where the CRS ends next to it, the window is not grown."""
    for growth in (_GROWTH, 0.0):
        with suppress(ValueError):
            return to_degrees(Polygon(_rings(lattice, edges, growth)[0]), lattice.crs)
    raise InputError(
        f"crs {crs_name(lattice.crs)}: ends within the grid of the cube; choose a smaller area, or a finer resolution"
    )


def _rings(lattice: Lattice, edges: _Edges, growth: float) -> NDArray[np.float64]:
    """Return the closed outlines of windows that were grown, in CRS units: float64 (window, vertex, 2)."""
    y0, y1, x0, x1 = edges
    more = growth * np.maximum(y1 - y0, x1 - x0)
    left, right = lattice.x0 + (x0 - more) * lattice.step_x, lattice.x0 + (x1 + more) * lattice.step_x
    top, bottom = lattice.y0 + (y0 - more) * lattice.step_y, lattice.y0 + (y1 + more) * lattice.step_y
    # The same for all windows of a lattice: the scenes of a tile must not depend on the call.
    longest = abs(lattice.step_x) * lattice.metres_per_unit * _LARGEST_SIDE
    segments = min(_MOST_SEGMENTS, max(2, math.ceil(math.sqrt(longest / _STRAIGHT_METRES))))
    t = np.linspace(0.0, 1.0, segments, endpoint=False)
    zero, one = np.zeros(segments), np.ones(segments)
    across = np.concatenate([zero, t, one, 1 - t, [0.0]])
    down = np.concatenate([t, one, 1 - t, zero, [0.0]])
    x = left[:, None] + across * (right - left)[:, None]
    y = top[:, None] + down * (bottom - top)[:, None]
    return np.stack([x, y], axis=-1)
