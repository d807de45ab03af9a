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


def read_features(path: Path, layer: str | None, feature: str | None = None) -> geopandas.GeoDataFrame:
    """Read the features of a layer.

    Parameters
    ----------
    path : Path
        Shapefile, GeoPackage or GeoJSON.
    layer : str or None
        Name of the layer; may be None if only one layer has geometries.
    feature : str, optional
        Field and value of the features to return, as ``FIELD=VALUE``.

    Raises
    ------
    InputError
        If the file cannot be read, has no geometries or no CRS, or the layer is not clear; if no feature has the value.
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
    return frame if feature is None else frame[_having(frame, feature, path)]


def texts_of(frame: geopandas.GeoDataFrame, field: str, path: Path) -> list[str | None]:
    """Return the values of a field as text, None where a feature has none.

    Raises
    ------
    InputError
        If there is no such field.
    """
    fields = [str(name) for name in frame.columns if name != frame.geometry.name]
    if field not in fields:
        listed = ", ".join(f"{name!r:.80}" for name in fields[:20])
        raise InputError(f"field {field!r:.80}: not in {path}; choose from {listed or '(no fields)'}")
    return [None if missing else _text(value) for value, missing in zip(frame[field], frame[field].isna(), strict=True)]


def _text(value: Any) -> str:
    """Return a value as text; whole numbers without a fraction, which a column of numbers may add."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _having(frame: geopandas.GeoDataFrame, feature: str, path: Path) -> list[bool]:
    """Return the features with a value; raise InputError if there are none."""
    field, _, wanted = feature.partition("=")
    texts = texts_of(frame, field, path)
    if wanted not in texts:
        listed = ", ".join(f"{text!r:.80}" for text in dict.fromkeys(texts) if text is not None)
        raise InputError(f"feature {feature!r:.100}: not in {path}; the values of {field} are {listed:.500}")
    return [text == wanted for text in texts]


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
