"""The area of interest: a bounding box, or the geometries of a file."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.antimeridian import join_at_antimeridian, unwrap

if TYPE_CHECKING:  # it takes a second to import, and a bounding box does not need it
    import geopandas

_SUFFIXES = {".shp", ".gpkg", ".geojson", ".json"}
_DENSIFY = 100
"""Segments per extent into which edges are split before reprojection, because a straight edge bends."""


@dataclass(frozen=True, slots=True)
class Area:
    """Area that the cube covers, in degrees; east is above 180 across the antimeridian."""

    bounds: tuple[float, float, float, float]
    """West, south, east, north."""
    mask: BaseGeometry | None = None
    """Geometry that a tile must intersect to be built; None builds all tiles."""


def load_area(cube: CubeConfig) -> Area:
    """Return the area of a cube; read its geometry file if it has one.

    Raises
    ------
    InputError
        If the geometry file is missing, unreadable, empty, invalid, or has no CRS.
    """
    if cube.bbox is not None:
        return Area(cube.bbox)
    assert cube.geometry_file is not None  # CubeConfig ensures one of the two
    geometry = _read_geometries(Path(cube.geometry_file))
    west, south, east, north = geometry.bounds
    if west >= east or south >= north:
        raise InputError(f"geometry file {cube.geometry_file}: covers no area; give polygons, or use --bbox")
    return Area((west, south, east, north), geometry if cube.use_geometry_mask else None)


def _read_geometries(path: Path) -> BaseGeometry:
    frame = _read_file(path)
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
    try:
        merged = shapely.force_2d(_in_degrees(shapes).union_all())
    except (RuntimeError, ValueError, shapely.errors.ShapelyError) as error:
        raise InputError(
            f"geometry file {path}: cannot be reprojected to degrees ({_brief(error)}); check its CRS and coordinates"
        ) from error
    west, south, east, north = merged.bounds
    if not np.isfinite(merged.bounds).all() or west < -180 or east > 360 or south < -90 or north > 90:
        raise InputError(f"geometry file {path}: its bounds {merged.bounds} are not degrees on Earth; check its CRS")
    return join_at_antimeridian(merged)


def _read_file(path: Path) -> geopandas.GeoDataFrame:
    """Read the features of a file; raise InputError if it has no geometries or no CRS."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"geometry file {path}: its type is not supported; give a .shp, .gpkg or .geojson file")
    if not os.path.exists(path):  # noqa: PTH110  (Path.exists raises for a path that is too long)
        raise InputError(f"geometry file {path}: does not exist; check the path")
    if not path.is_file():  # reading a pipe would block
        raise InputError(f"geometry file {path}: is not a regular file; give a .shp, .gpkg or .geojson file")
    import geopandas

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL warns about files that the checks below refuse or accept
            frame = geopandas.read_file(path)
    # pyogrio's own errors are RuntimeErrors; it also raises NameError if it cannot open a layer.
    except (RuntimeError, NameError, ValueError, OSError, shapely.errors.ShapelyError) as error:
        raise InputError(f"geometry file {path}: cannot be read ({_brief(error)}); repair or replace it") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"geometry file {path}: has no geometry; give a file with polygons")
    if frame.crs is None:
        raise InputError(
            f"geometry file {path}: has no CRS; add one (a .prj file for a .shp, or "
            "`ogr2ogr -a_srs EPSG:4326 fixed.gpkg FILE`)"
        )
    return frame


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def _in_degrees(shapes: geopandas.GeoSeries) -> geopandas.GeoSeries:
    if shapes.crs.equals("EPSG:4326", ignore_axis_order=True):
        return shapes
    west, south, east, north = shapes.total_bounds
    longest = max(east - west, north - south)
    degrees = (shapes.segmentize(longest / _DENSIFY) if longest > 0 else shapes).to_crs("EPSG:4326")
    return degrees.apply(unwrap)
