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
from ardcube.extent.antimeridian import joined, unwrapped

if TYPE_CHECKING:  # a second to import, and a bounding box needs none of it
    import geopandas

_SUFFIXES = {".shp", ".gpkg", ".geojson", ".json"}
_DENSIFY = 100
"""Pieces per extent into which edges are cut before reprojection, since a straight edge bends."""


@dataclass(frozen=True, slots=True)
class Area:
    """What the cube covers, in degrees; east is above 180 where it crosses the antimeridian."""

    bounds: tuple[float, float, float, float]
    """West, south, east, north."""
    mask: BaseGeometry | None = None
    """Only tiles that intersect this are built; None builds all."""


def load_area(cube: CubeConfig) -> Area:
    """Read the area that a configuration asks for.

    Raises
    ------
    InputError
        If the geometry file is missing, unreadable, empty, invalid, or has no CRS.
    """
    if cube.bbox is not None:
        return Area(cube.bbox)
    assert cube.geometry_file is not None  # CubeConfig has one of the two
    geometry = _read_geometries(Path(cube.geometry_file))
    west, south, east, north = geometry.bounds
    if west >= east or south >= north:
        raise InputError(f"geometry file {cube.geometry_file} covers no area; give polygons, or --bbox")
    return Area((west, south, east, north), geometry if cube.use_geometry_mask else None)


def _read_geometries(path: Path) -> BaseGeometry:
    frame = _read_file(path)
    shapes = frame.geometry[~(frame.geometry.isna() | frame.geometry.is_empty)]
    if shapes.empty:
        raise InputError(f"geometry file {path} is empty; give a file with at least one polygon")
    broken = shapes[~shapes.is_valid]
    if not broken.empty:
        reason = shapely.is_valid_reason(broken.iloc[0])
        raise InputError(
            f"geometry file {path} has an invalid geometry, feature {broken.index[0]}: {reason}; mend it "
            "(`ogr2ogr -makevalid fixed.gpkg FILE`) and try again"
        )
    try:
        merged = shapely.force_2d(_in_degrees(shapes).union_all())
    except (RuntimeError, ValueError, shapely.errors.ShapelyError) as error:
        raise InputError(
            f"geometry file {path} cannot be brought to degrees: {_brief(error)}; check its CRS and its coordinates"
        ) from error
    west, south, east, north = merged.bounds
    if not np.isfinite(merged.bounds).all() or west < -180 or east > 360 or south < -90 or north > 90:
        raise InputError(f"geometry file {path} lies outside the world: {merged.bounds}; check its CRS")
    return joined(merged)


def _read_file(path: Path) -> geopandas.GeoDataFrame:
    """Features of a file that says its CRS."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"geometry file {path} is of no known kind; give a .shp, .gpkg or .geojson file")
    if not os.path.exists(path):  # noqa: PTH110  (a path may be too long to be asked for, or none)
        raise InputError(f"geometry file {path} does not exist; check the path")
    if not path.is_file():  # a pipe would be waited for without end
        raise InputError(f"geometry file {path} is no file; give a .shp, .gpkg or .geojson file")
    import geopandas

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of GDAL; what matters is checked below
            frame = geopandas.read_file(path)
    # pyogrio's own are of the first kind; of the second is one that it stumbles over when a layer cannot be opened.
    except (RuntimeError, NameError, ValueError, OSError, shapely.errors.ShapelyError) as error:
        raise InputError(f"geometry file {path} cannot be read: {_brief(error)}; mend it or give another") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"geometry file {path} holds no geometry; give a file with polygons")
    if frame.crs is None:
        raise InputError(
            f"geometry file {path} does not say its CRS; add it (a .prj file beside a .shp, or "
            "`ogr2ogr -a_srs EPSG:4326 fixed.gpkg FILE`) and try again"
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
    return degrees.apply(unwrapped)
