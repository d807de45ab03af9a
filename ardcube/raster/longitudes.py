"""Place rasters in degrees at the longitudes of a grid: longitudes are equal modulo 360 (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from affine import Affine

from ardcube.extent.lattice import crs_of, is_same_crs
from ardcube.raster.header import Header

_TURN = 360.0
_TOUCH = 1e-9
"""Degrees by which two ranges of longitudes may overlap and still only touch."""


def turns(header: Header, crs: str, longitudes: tuple[float, float]) -> Sequence[int]:
    """Return the multiples of 360 degrees by which a raster has to be moved to meet the longitudes of a grid.

    There are two or more if the raster meets both ends of the grid, and none if it does not meet the grid. A raster
    whose CRS is not in degrees, or not that of the grid, is not moved: projected coordinates are near the raster.

    Parameters
    ----------
    header : Header
        Of the raster.
    crs : str
        CRS of the grid.
    longitudes : (float, float)
        Westernmost and easternmost longitude of the grid.
    """
    if not (crs_of(header.crs).is_geographic and is_same_crs(header.crs, crs)):
        return (0,)
    (west, east), full = longitudes, header.levels[0]
    edges = full.transform.c, full.transform.c + full.transform.a * full.width
    first, last = min(edges), max(edges)
    return range(math.floor((west - last + _TOUCH) / _TURN) + 1, math.ceil((east - first - _TOUCH) / _TURN))


def moved(header: Header, turn: int) -> Header:
    """Return a header whose longitudes are moved by a multiple of 360 degrees."""
    if turn == 0:
        return header
    move = Affine.translation(_TURN * turn, 0.0)
    return replace(header, levels=tuple(replace(level, transform=move @ level.transform) for level in header.levels))
