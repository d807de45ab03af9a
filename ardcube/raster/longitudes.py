"""Place rasters in degrees at the longitudes of a cube: longitudes are equal modulo 360 (pure)."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from affine import Affine
from pyproj import CRS

from ardcube.errors import SceneError
from ardcube.raster.header import Header

_TURN = 360.0
_TOUCH = 1e-9
"""Degrees by which two ranges of longitudes may overlap and still only touch."""


def at_longitudes(header: Header, west: float, east: float) -> Header:
    """Return a header whose longitudes are moved by a multiple of 360 degrees to meet a range; others are unchanged.

    Raises
    ------
    SceneError
        If the raster meets the range at two multiples of 360 degrees.
    """
    if not _is_geographic(header.crs):
        return header
    full = header.levels[0]
    edges = full.transform.c, full.transform.c + full.transform.a * full.width
    first, last = min(edges), max(edges)
    turns = range(math.floor((west - last + _TOUCH) / _TURN) + 1, math.ceil((east - first - _TOUCH) / _TURN))
    if len(turns) > 1:
        raise SceneError(
            f"a raster from longitude {first:g} to {last:g} meets the cube's {west:g} to {east:g} at both ends; "
            "build two cubes, one on each side of the raster's edge"
        )
    if len(turns) == 0 or turns[0] == 0:
        return header
    move = Affine.translation(_TURN * turns[0], 0.0)
    return replace(header, levels=tuple(replace(level, transform=move @ level.transform) for level in header.levels))


@lru_cache(maxsize=256)
def _is_geographic(crs: str) -> bool:
    return bool(CRS(crs).is_geographic)
