"""Write the coordinates of a cube by the CF conventions: time with bounds, latitude, longitude, bands, grid mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.store.backend import array_of

COORDINATES = ("time", "time_bnds", "latitude", "longitude", "band", "spatial_ref")
"""Names of the arrays of coordinates."""
_EPOCH = np.datetime64("1970-01-01", "D")
_TIME_CHUNK = 4096
"""Periods in a chunk of `time`: more than any cube has, so that extending the time axis rewrites one chunk."""


def write_times(group: zarr.Group, periods: Sequence[Period]) -> None:
    """Write `time`, the start of each period, and its CF bounds; replace those of a shorter time axis."""
    starts = _days([period.start for period in periods])
    bounds = np.stack([starts, _days([period.end for period in periods])], axis=1)
    encoding = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    time = {"axis": "T", "standard_name": "time", "long_name": "start of the period", "bounds": "time_bnds"}
    _write(group, "time", starts, ("time",), encoding | time, chunks=(_TIME_CHUNK,))
    _write(group, "time_bnds", bounds, ("time", "nv"), encoding, chunks=(_TIME_CHUNK, 2))


def _days(dates: Sequence[Any]) -> NDArray[np.int64]:
    return (np.array(dates, "datetime64[D]") - _EPOCH).astype(np.int64)


def write_plane(group: zarr.Group, grid: Grid, bands: Sequence[str]) -> None:
    """Write latitude and longitude of pixel centres, the names of the bands, and the grid mapping."""
    lat = {"axis": "Y", "standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
    lon = {"axis": "X", "standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
    _write(group, "latitude", grid.latitude(np.arange(grid.height)), ("latitude",), lat)
    _write(group, "longitude", grid.longitude(np.arange(grid.width)), ("longitude",), lon)
    transform = grid.transform
    crs = grid.geobox.crs
    assert crs is not None  # a grid always has a CRS
    mapping = crs.proj.to_cf() | {
        "long_name": "coordinate reference system",
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(repr(float(value)) for value in transform.to_gdal()),
    }
    _write(group, "spatial_ref", np.array(crs.to_epsg(), np.int32), (), mapping)
    names = np.array(bands, dtype=np.dtypes.StringDType())
    _write(group, "band", names, ("band",), {"long_name": "band name"})


def _write(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dimensions: tuple[str, ...],
    attributes: Mapping[str, Any],
    chunks: tuple[int, ...] | None = None,
) -> None:
    if name in group:
        array = array_of(group, name)
        if array.shape != values.shape:
            array.resize(values.shape)
        array.attrs.update(dict(attributes))
    else:
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=chunks or values.shape,
            dimension_names=dimensions,
            attributes=dict(attributes),
            compressors=None,
        )
    array[...] = values
