"""The area of interest: a bounding box, or the geometries of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj.exceptions import ProjError
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.antimeridian import gather, unwrap
from ardcube.extent.clip import Clip
from ardcube.extent.geometry_file import brief, read_features
from ardcube.extent.reproject import area_in_crs, area_on_ellipsoid, to_degrees

if TYPE_CHECKING:  # it takes a second to import, and a bounding box does not need it
    import geopandas

_DENSIFY = 100
"""Segments per extent into which edges are split before reprojection, because a straight edge bends."""
_TOLERANCE = 0.01
"""Share of its area by which a polygon may change when it is reprojected."""


@dataclass(frozen=True, slots=True)
class Area:
    """Area that the cube covers, in degrees; east is above 180 across the antimeridian."""

    geometry: BaseGeometry
    mask: BaseGeometry | None = None
    """Geometry that a tile must intersect to be built; None builds all tiles."""
    clip: Clip | None = None
    """Geometries that contain the centres of all pixels that are built; None builds all pixels."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        west, south, east, north = self.geometry.bounds
        return west, south, east, north


def load_area(cube: CubeConfig) -> Area:
    """Return the area of a cube; read its geometry file if it has one.

    Raises
    ------
    InputError
        If the geometry file is missing, unreadable, empty, invalid, or has no CRS; if its layer is not clear, or if
        a geometry does not have one meaning in degrees.
    """
    if cube.bbox is not None:
        return Area(box(*cube.bbox))
    assert cube.geometry_file is not None  # CubeConfig ensures one of the two
    path = Path(cube.geometry_file)
    shapes = _read_shapes(path, cube)
    geometry = _gathered(shapes, path)
    if not geometry.area > 0:
        raise InputError(f"geometry file {path}: covers no area; give polygons, or use --bbox")
    if cube.clip:  # decides on tiles too, by their pixels
        return Area(geometry, clip=_clip(shapes, path))
    return Area(geometry, geometry if cube.use_geometry_mask else None)


def load_clip(cube: CubeConfig) -> Clip | None:
    """Return the geometries that clip a cube whose grid does not depend on them; None if it is not clipped.

    Raises
    ------
    InputError
        As `load_area`.
    """
    if not cube.clip:
        return None
    assert cube.geometry_file is not None  # CubeConfig ensures it
    path = Path(cube.geometry_file)
    return _clip(_read_shapes(path, cube), path)


def _clip(shapes: geopandas.GeoSeries, path: Path) -> Clip:
    return Clip.of(shapes.to_numpy(), shapes.crs.to_wkt(), f"geometry file {path}: a geometry")


def _read_shapes(path: Path, cube: CubeConfig) -> geopandas.GeoSeries:
    """Read the geometries of a file that are not empty, and check that they are valid."""
    frame = read_features(path, cube.geometry_layer, cube.feature)
    shapes = frame.geometry[~(frame.geometry.isna() | frame.geometry.is_empty)]
    if shapes.empty:
        raise InputError(f"geometry file {path}: is empty; give a file with at least one polygon")
    broken = shapes[~shapes.is_valid]
    if not broken.empty:
        reason = shapely.is_valid_reason(broken.iloc[0])
        raise InputError(
            f"geometry file {path}: the geometry of feature {broken.index[0]} is invalid ({reason}); repair it with "
            "`ogr2ogr -makevalid fixed.gpkg FILE`"
        )
    return shapes


def _gathered(shapes: geopandas.GeoSeries, path: Path) -> BaseGeometry:
    """Return all geometries as one in degrees, in as few longitudes as possible."""
    try:
        parts = [part for geometry in _in_degrees(shapes, path) for part in shapely.get_parts(geometry)]
    except (RuntimeError, ValueError, ProjError, shapely.errors.ShapelyError) as error:
        raise InputError(
            f"geometry file {path}: cannot be reprojected to degrees ({brief(error)}); check its CRS and coordinates"
        ) from error
    _check_bounds(parts, path)
    return gather(parts)


def _check_bounds(degrees: Sequence[BaseGeometry], path: Path) -> None:
    west, south, east, north = bounds = shapely.total_bounds(degrees)
    if not np.isfinite(bounds).all() or west < -540 or east > 540 or south < -90 or north > 90:
        given = " ".join(f"{number:g}" for number in bounds)
        raise InputError(f"geometry file {path}: its bounds {given} are not degrees on Earth; check its CRS")


def _in_degrees(shapes: geopandas.GeoSeries, path: Path) -> Iterable[BaseGeometry]:
    """Return the geometries in degrees; each polygon is in one piece, whatever its longitudes are."""
    if shapes.crs.equals("EPSG:4326", ignore_axis_order=True):
        plain = shapely.force_2d(shapes.to_numpy())
        _check_bounds(plain, path)
        for feature, geometry in zip(shapes.index, plain, strict=True):
            _check_edges(geometry, f"geometry file {path}: the geometry of feature {feature}")
        return list(plain)
    west, south, east, north = shapes.total_bounds
    longest = max(east - west, north - south)
    short = shapely.force_2d((shapes.segmentize(longest / _DENSIFY) if longest > 0 else shapes).to_numpy())
    crs = shapes.crs.to_wkt()
    parts = []
    for feature, geometry in zip(shapes.index, short, strict=True):
        for part in shapely.get_parts(geometry):
            if isinstance(part, Polygon):
                parts.append(_polygon_in_degrees(part, crs, f"geometry file {path}: the geometry of feature {feature}"))
            else:
                parts += [unwrap(moved) for moved in type(shapes)([part], crs=shapes.crs).to_crs("EPSG:4326")]
    return parts


def _polygon_in_degrees(polygon: Polygon, crs: str, subject: str) -> BaseGeometry:
    """Reproject a polygon; raise InputError if the result is invalid, or its area on Earth is another."""
    moved = to_degrees(polygon, crs)
    after = area_on_ellipsoid(moved)
    before = area_in_crs(polygon, crs, near=after)
    if not moved.is_valid or not abs(after - before) <= _TOLERANCE * before:
        problem = (
            f"covers {before / 1e6:.6g} km2, and in degrees {after / 1e6:.6g} km2"
            if moved.is_valid
            else (f"is invalid in degrees ({shapely.is_valid_reason(moved)})")
        )
        raise InputError(
            f"{subject} {problem}; split it so that no part contains a pole or crosses 180 degrees of longitude, or "
            "use --bbox"
        )
    return moved


def _check_edges(geometry: BaseGeometry, subject: str) -> None:
    """Raise InputError for an edge of more than 180 degrees of longitude, which may also run the other way round."""
    for part in shapely.get_parts(geometry):
        west, _, east, _ = part.bounds
        if east - west <= 180 or abs(east - west - 360) < 1e-9:
            continue
        for ring in [part.exterior, *part.interiors] if isinstance(part, Polygon) else [part]:
            longitudes = shapely.get_coordinates(ring)[:, 0]
            edges = np.abs(np.diff(longitudes))
            if len(edges) and edges.max() > 180:
                at = int(edges.argmax())
                raise InputError(
                    f"{subject} has an edge from longitude {longitudes[at]:g} to {longitudes[at + 1]:g}, which may run "
                    "either way around the Earth; split long edges (`ogr2ogr -segmentize 90 fixed.gpkg FILE`), or cut "
                    "the geometry at 180 degrees if it crosses that meridian (`ogr2ogr -wrapdateline`)"
                )
