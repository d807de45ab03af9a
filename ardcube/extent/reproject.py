"""Reproject polygons to degrees: across the antimeridian, and around poles (pure)."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod, Transformer
from pyproj.enums import TransformDirection
from shapely.geometry import Point, Polygon
from shapely.geometry.base import BaseGeometry

from ardcube.errors import InputError
from ardcube.extent.antimeridian import place
from ardcube.extent.lattice import DEGREES, crs_name, transformer

_AT_POLE = 1e-7
"""Degrees of latitude from a pole within which a vertex has no longitude."""
_PARTS = 100
"""Parts into which the longest side of an area is divided before it is projected, because straight sides bend."""
_JUMP = 20.0
"""Projected length per degree, in medians, from which a side is taken to lead across the map of a CRS."""
_SHORTEST = 1e-6
"""Share of the longest side from which a side is compared, because coordinates are rounded."""
_WGS84 = Geod(ellps="WGS84")
_LONGEST_EDGE = 1.0
"""Degrees: longest edge for which an area is computed, because a straight edge on the map bends on Earth."""


def to_degrees(polygon: Polygon, crs: str, datum: str = DEGREES) -> BaseGeometry:
    """Reproject a polygon to longitude and latitude.

    Longitudes continue above 180 or below -180 across the antimeridian. A polygon around a pole reaches the pole.

    Parameters
    ----------
    polygon : Polygon
        Coordinates x (easting or longitude) and y. Straight edges are reprojected by their ends alone.
    crs : str
        CRS of the polygon, in any notation of PROJ.
    datum : str
        Geographic CRS of the result.

    Raises
    ------
    ValueError
        If the CRS is not defined at a vertex.
    """
    to_lon_lat = transformer(crs, datum)
    outline: BaseGeometry = _ring_to_degrees(Polygon(polygon.exterior), to_lon_lat)
    for interior in polygon.interiors:
        west, _, east, _ = outline.bounds
        outline = outline - place(_ring_to_degrees(Polygon(interior), to_lon_lat), west, east)
    return outline


def from_degrees(geometry: BaseGeometry, crs: str) -> BaseGeometry:
    """Project a geometry in degrees, with its long sides divided.

    Raises
    ------
    InputError
        If the CRS is not defined for a part of the geometry, or cuts it.
    """
    if crs == DEGREES:
        return geometry
    west, south, east, north = geometry.bounds
    divided = shapely.segmentize(geometry, max(east - west, north - south) / _PARTS)

    def project(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(transformer(DEGREES, crs).transform(points[:, 0], points[:, 1]), axis=1)

    moved: BaseGeometry = shapely.transform(divided, project)
    if not np.isfinite(moved.bounds).all():
        raise InputError(
            f"crs {crs_name(crs)}: is not defined for all of the area {_shown(geometry.bounds)} (degrees); choose "
            "another CRS or a smaller area"
        )
    if any(_is_cut(*rings) for rings in zip(_rings(divided), _rings(moved), strict=True)):
        raise InputError(
            f"crs {crs_name(crs)}: the edge of its map cuts the area {_shown(geometry.bounds)} (degrees); take another "
            "CRS, or build one cube on each side"
        )
    return moved


def area_on_ellipsoid(geometry: BaseGeometry) -> float:
    """Return the area of a polygon in degrees whose edges are straight in degrees, in square metres."""
    e = math.sqrt(_WGS84.es)

    def to_equal_area(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        sine = np.sin(np.radians(xy[:, 1]))
        height = (1 - e * e) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e) / 2
        return np.stack([np.radians(xy[:, 0]) * _WGS84.a, height * _WGS84.a], axis=1)

    return float(shapely.transform(geometry.segmentize(_LONGEST_EDGE), to_equal_area).area)


def area_in_crs(polygon: Polygon, crs: str, near: float) -> float:
    """Return the area on Earth of a polygon of any CRS whose vertices geodesics connect, in square metres.

    Geodesics divide the Earth into two parts. The exterior ring encloses the part whose area is nearer to `near`.
    """
    to_lon_lat = transformer(crs, DEGREES)

    def of_ring(ring: BaseGeometry) -> float:
        lon, lat = to_lon_lat.transform(*ring.coords.xy)
        return float(abs(_WGS84.polygon_area_perimeter(lon, lat)[0]))

    exterior = of_ring(polygon.exterior)
    earth = area_on_ellipsoid(shapely.box(-180, -90, 180, 90))
    exterior = min(exterior, earth - exterior, key=lambda area: abs(area - near))
    return exterior - sum(map(of_ring, polygon.interiors))


def _rings(geometry: BaseGeometry) -> list[NDArray[np.float64]]:
    parts = shapely.get_parts(geometry)
    return [shapely.get_coordinates(part) for part in parts if part.geom_type == "Polygon"]


def _is_cut(degrees: NDArray[np.float64], ring: NDArray[np.float64]) -> bool:
    """Return whether a side of a projected ring leads across the whole map. Sides may be of any length."""
    before, after = (np.hypot(*np.diff(vertices, axis=0).T) for vertices in (degrees, ring))
    compared = before > _SHORTEST * before.max(initial=0.0)
    stretch = after[compared] / before[compared]
    return bool(stretch.max(initial=0.0) > _JUMP * np.median(stretch)) if compared.any() else False


def _shown(bounds: tuple[float, ...]) -> str:
    return " ".join(f"{number:g}" for number in bounds)


def _ring_to_degrees(polygon: Polygon, to_lon_lat: Transformer) -> Polygon:
    lon, lat = (np.array(values) for values in to_lon_lat.transform(*polygon.exterior.coords.xy))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ValueError("a vertex is outside of the area for which its CRS is defined")
    source = to_lon_lat.source_crs
    if source is None or not source.is_geographic:
        lon, lat = _along_poles(lon, lat)
    lon = lon - 360.0 * np.append(0.0, np.cumsum(np.round(np.diff(lon) / 360.0)))  # exact, as np.unwrap is not
    if round((lon[-1] - lon[0]) / 360.0):
        pole = _pole_within(polygon, to_lon_lat, lat)
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    return Polygon(np.stack([lon, lat], axis=1))


def _along_poles(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Replace a vertex at a pole by two, at the longitudes of the vertices before and after it."""
    at_pole = np.abs(lat) > 90.0 - _AT_POLE
    if not at_pole.any() or at_pole.all():
        return lon, lat
    start = int(np.flatnonzero(~at_pole)[0])
    lon, lat, at_pole = (np.append(np.roll(values[:-1], -start), values[start]) for values in (lon, lat, at_pole))
    before, after = lon.copy(), lon.copy()
    for i in np.flatnonzero(at_pole):
        before[i] = before[i - 1]
    for i in np.flatnonzero(at_pole)[::-1]:
        after[i] = after[i + 1]
    both = np.stack([before, after], axis=1)
    keep = np.stack([np.ones_like(at_pole), at_pole], axis=1)
    return both[keep], np.stack([lat, lat], axis=1)[keep]


def _pole_within(polygon: Polygon, to_lon_lat: Transformer, lat: NDArray[np.float64]) -> float:
    """Return the latitude of the pole that a polygon contains."""
    for pole in (90.0, -90.0):
        x, y = to_lon_lat.transform(0.0, pole, direction=TransformDirection.INVERSE)
        if np.isfinite([x, y]).all() and polygon.contains(Point(x, y)):
            return pole
    return math.copysign(90.0, float(lat.mean()))
