"""Write the coordinates of a cube by the CF conventions: time with bounds, axes, bands, grid mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.store.backend import array_of

COMPLETE = "complete"
"""Name of the share of finished tiles."""
COORDINATES = ("time", "time_bnds", COMPLETE, "latitude", "longitude", "y", "x", "band", "spatial_ref")
"""Names that the arrays of coordinates may have."""
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


def read_time_bounds(group: zarr.Group) -> NDArray[np.datetime64]:
    """Return the first day of each period and the day after its last, datetime64[D] (time, 2)."""
    days = np.asarray(array_of(group, "time_bnds")[...])
    return _EPOCH + days.astype("timedelta64[D]")


def write_complete(group: zarr.Group, shares: NDArray[np.float32]) -> None:
    """Write `complete`, float32 (time,): the share of finished tiles, as one object.

    Its chunks have one period, as those of pixels do: it is a coordinate of them, and xarray reports chunks of an array
    with its coordinates.
    """
    if COMPLETE in group:
        array_of(group, COMPLETE)[...] = shares
        return
    named = {"long_name": "share of the tiles of the period that are finished"}
    _write(group, COMPLETE, shares, ("time",), named, chunks=(1,), shards=(_TIME_CHUNK,))


def _days(dates: Sequence[Any]) -> NDArray[np.int64]:
    return (np.array(dates, "datetime64[D]") - _EPOCH).astype(np.int64)


def write_plane(group: zarr.Group, grid: Grid, bands: Sequence[str]) -> None:
    """Write the coordinates of pixel centres, the names of the bands if there are any, and the grid mapping."""
    (rows, columns), (down, right) = grid.axes, axis_attributes(grid)
    _write(group, rows, grid.y(np.arange(grid.height)), (rows,), down)
    _write(group, columns, grid.x(np.arange(grid.width)), (columns,), right)
    number, mapping = grid_mapping(grid)
    _write(group, "spatial_ref", np.array(number, np.int32), (), mapping)
    if bands:
        names = np.array(bands, dtype=np.dtypes.StringDType())
        _write(group, "band", names, ("band",), {"long_name": "band name"})


def grid_mapping(grid: Grid) -> tuple[int, dict[str, Any]]:
    """Return the EPSG code of a grid's CRS, 0 if it has none, and the attributes of the variable `spatial_ref`."""
    crs = grid.geobox.crs
    assert crs is not None  # a grid always has a CRS
    return crs.to_epsg() or 0, crs.proj.to_cf() | {
        "long_name": "coordinate reference system",
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(repr(float(value)) for value in grid.transform.to_gdal()),
    }


def axis_attributes(grid: Grid) -> tuple[dict[str, str], dict[str, str]]:
    """Return the CF attributes of the coordinates of rows and of columns."""
    names: tuple[str, str]
    if grid.lattice.is_geographic:
        names, units = grid.axes, ("degrees_north", "degrees_east")
        long_names = names
    else:
        names = ("projection_y_coordinate", "projection_x_coordinate")
        long_names = ("northing", "easting")
        units = (grid.lattice.unit, grid.lattice.unit)
    down, right = (
        {"axis": axis, "standard_name": name, "long_name": long_name, "units": unit}
        for axis, name, long_name, unit in zip("YX", names, long_names, units, strict=True)
    )
    return down, right


def _write(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dimensions: tuple[str, ...],
    attributes: Mapping[str, Any],
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
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
            shards=shards,
            dimension_names=dimensions,
            attributes=dict(attributes),
            compressors=None,
        )
    array[...] = values
