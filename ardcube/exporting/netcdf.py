"""Write variables and periods of a cube as one netCDF file by the CF conventions, chunk by chunk."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ardcube.exporting.request import Export, ExportFile
from ardcube.exporting.source import SourceVariable
from ardcube.store.conventions import without_conventions
from ardcube.store.coordinates import axis_attributes, grid_mapping

_EPOCH = date(1970, 1, 1)
_TIME = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
_OF_ZARR = ("coordinates",)
"""Global attributes that only readers of Zarr need."""
_LARGEST_CHUNK = 1024
"""Rows and columns of a chunk of the file at most."""
_one_at_a_time = Lock()
"""The library of netCDF is not safe for threads."""


def write_netcdf(export: Export, file: ExportFile, path: Path) -> None:
    """Write a file; one chunk of one variable is in memory.

    Variables are (time, band, y, x) or (time, y, x), because GDAL and QGIS expect the plane in the last dimensions.
    Numbers are those of the store, with its scale, offset and nodata.

    Raises
    ------
    StoreError
        If a chunk of the cube is damaged.
    UnwritableError, TransientError
        If a store refuses to read or write, permanently or for a while.
    """
    import netCDF4

    with _one_at_a_time, netCDF4.Dataset(path, "w", format="NETCDF4") as target:
        target.setncatts(_plain(without_conventions(export.attributes), leave=_OF_ZARR))
        _write_coordinates(target, export, file)
        for variable in file.variables:
            _write_variable(target, export, file, variable)


def _write_coordinates(target: Any, export: Export, file: ExportFile) -> None:
    grid = export.cube.grid.part(export.window)
    rows, columns = grid.axes
    target.createDimension("time", len(file.periods))
    target.createDimension("nv", 2)
    target.createDimension(rows, grid.height)
    target.createDimension(columns, grid.width)
    starts, ends = ([(day - _EPOCH).days for day in days] for days in _limits(file))
    time = {"axis": "T", "standard_name": "time", "long_name": "start of the period", "bounds": "time_bnds"}
    _write(target, "time", ("time",), np.array(starts), _TIME | time)
    _write(target, "time_bnds", ("time", "nv"), np.stack([starts, ends], axis=1), {})
    down, right = axis_attributes(grid)
    _write(target, rows, (rows,), grid.y(np.arange(grid.height)), down)
    _write(target, columns, (columns,), grid.x(np.arange(grid.width)), right)
    number, mapping = grid_mapping(grid)
    _write(target, "spatial_ref", (), np.array(number, np.int32), mapping)
    bands = next((variable.bands for variable in file.variables if variable.bands), ())
    if bands:
        target.createDimension("band", len(bands))
        names = target.createVariable("band", str, ("band",))
        names.long_name = "band name"
        names[:] = np.array(bands, object)


def _write_variable(target: Any, export: Export, file: ExportFile, variable: SourceVariable) -> None:
    grid, window = export.cube.grid, export.window
    side = min(_LARGEST_CHUNK, export.cube.config.tile_size)
    height, width = (min(side, length) for length in window.shape)
    has_bands = bool(variable.bands)
    written = target.createVariable(
        variable.name,
        variable.dtype.str[1:],  # netCDF4 warns of a byte order
        ("time", "band", *grid.axes) if has_bands else ("time", *grid.axes),
        zlib=True,
        complevel=1,
        shuffle=True,
        chunksizes=(1, 1, height, width) if has_bands else (1, height, width),
        fill_value=False if variable.nodata is None else variable.dtype.type(variable.nodata),
    )
    written.set_auto_maskandscale(False)
    attributes = dict(variable.attributes)
    if isinstance(flags := attributes.get("flag_values"), list):
        attributes["flag_values"] = np.array(flags, variable.dtype)
    written.setncatts(_plain(attributes, leave=("_FillValue",)) | {"grid_mapping": "spatial_ref"})
    size = window.relative_to(window)
    for number, period in enumerate(file.periods):
        # Aligned to the chunks of the file, because HDF5 would compress a chunk that is written in parts several times.
        for part in size.aligned(side):
            values = variable.read(period.index, part.placed_in(window))
            if has_bands:
                written[(number, slice(None), *part.slices)] = values
            else:
                written[(number, *part.slices)] = values[0]


def _limits(file: ExportFile) -> tuple[list[date], list[date]]:
    return [period.start for period in file.periods], [period.end for period in file.periods]


def _write(target: Any, name: str, dimensions: tuple[str, ...], values: Any, attributes: dict[str, Any]) -> None:
    variable = target.createVariable(name, values.dtype, dimensions, fill_value=False)
    variable.setncatts(_plain(attributes))
    variable[...] = values


def _plain(attributes: Any, leave: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the attributes that netCDF can hold: texts, numbers and arrays."""
    kept = (str, int, float, np.ndarray, list)
    return {str(name): value for name, value in attributes.items() if name not in leave and isinstance(value, kept)}
