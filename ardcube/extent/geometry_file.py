"""Read the features of a geometry file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from ardcube.errors import InputError

if TYPE_CHECKING:  # it takes a second to import, and a bounding box does not need it
    import geopandas

_SUFFIXES = {".shp", ".gpkg", ".geojson", ".json"}


def read_features(path: Path, layer: str | None) -> geopandas.GeoDataFrame:
    """Read the features of a layer.

    Parameters
    ----------
    path : Path
        Shapefile, GeoPackage or GeoJSON.
    layer : str or None
        Name of the layer; may be None if only one layer has geometries.

    Raises
    ------
    InputError
        If the file cannot be read, has no geometries or no CRS, or the layer is not clear.
    """
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
            frame: Any = geopandas.read_file(path, layer=_layer(path, layer))
    # pyogrio's own errors are RuntimeErrors; it also raises NameError if it cannot open a layer.
    except (RuntimeError, NameError, ValueError, OSError, shapely.errors.ShapelyError) as error:
        raise InputError(f"geometry file {path}: cannot be read ({brief(error)}); repair or replace it") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"geometry file {path}: has no geometry; give a file with polygons")
    if frame.crs is None:
        raise InputError(
            f"geometry file {path}: has no CRS; add one (a .prj file for a .shp, or "
            "`ogr2ogr -a_srs EPSG:4326 fixed.gpkg FILE`)"
        )
    return frame


def brief(error: Exception) -> str:
    """Return the text of an error in one line."""
    return " ".join(str(error).split())[:500]


def _layer(path: Path, wanted: str | None) -> str | None:
    """Return the layer to read; raise InputError if the wanted layer is missing, or several have geometries."""
    import pyogrio

    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    listed = ", ".join(f"{name!r:.80}" for name in names[:20])
    if wanted is not None and wanted not in names:
        raise InputError(f"geometry layer {wanted!r:.80}: not in {path}; choose from {listed or '(no layers)'}")
    if wanted is None and len(names) > 1:
        raise InputError(
            f"geometry file {path}: has {len(names)} layers ({listed}); choose one with --geometry-layer NAME"
        )
    return wanted
