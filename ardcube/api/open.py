"""A cube as an xarray dataset of reflectance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, find_cube
from ardcube.errors import InputError
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.conventions import without_conventions
from ardcube.store.layouts import base_group
from ardcube.store.schema import BAND, BANDS, COUNT, DISTANCE, FLAGS, VARIABLE, exists, read_attributes
from ardcube.store.validate import damage_as_store_error, read_layouts
from ardcube.store.versions import for_reading

if TYPE_CHECKING:
    import xarray as xr

_OF_EARLIER_CUBES = ("valid_min", "valid_max", "units")
"""Attributes that cubes no longer have: limits in digital numbers, and a unit that odc-geo cannot write."""


def open(
    uri: Uri,
    *,
    at: str | None = None,
    chunks: Mapping[str, int] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open a cube lazily.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    at : str, optional
        Version of a cube with the storage backend icechunk, such as ``"v2"``. Default: the newest one.
    chunks : mapping, optional
        Dask chunks, in pixels by dimension, such as ``{"latitude": 2400, "longitude": 2400}``. Default: one Dask chunk
        for each stored object, which is a shard in a cube of shards.
    storage_options : mapping, optional
        Options of the store's filesystem, such as ``{"endpoint_url": ...}``.

    Returns
    -------
    xarray.Dataset
        One variable for each composite, float32 (time, latitude, longitude, band): reflectance, 0 to about 1, NaN
        without observation. `emad`, `smad` and `bcmad` have no band. One variable for each quality layer, float32, NaN
        where it is unknown. Layers of days count from the start of the period.
        `observation_count`, uint16 (time, latitude, longitude): clear observations of each pixel. In a projected CRS
        the axes are `y` and `x`. The coordinate `spatial_ref` holds the CRS, which rioxarray and odc-geo find.

    Raises
    ------
    InputError
        If there is no cube at the URI, or no such version of it.
    StoreError
        If the store is damaged.
    """
    import xarray as xr

    from ardcube.store.backend import zarr_store

    found = find_cube(uri, storage_options)
    config = found.cube.config
    place = for_reading(found.place, found.cube.storage_backend, at)
    if not exists(place):
        raise InputError(f"{place.uri}: the store is missing or incomplete; run the build again")
    group = base_group(place)
    read_layouts(group)
    axes = found.cube.grid.axes
    stored = dict.fromkeys(axes, config.tile_size)
    with damage_as_store_error(place.uri), checked_codecs():
        cube: xr.Dataset = xr.open_zarr(
            zarr_store(group), chunks=stored | dict(chunks or {}), zarr_format=3, decode_coords="all"
        )
    if group is not place:
        cube = _with_bands(cube.assign_attrs(read_attributes(place)), config.bands)  # its root has the origin
    if at is not None and (missing := [name for name in (*axes, *found.cube.variables) if name not in cube]):
        raise InputError(f"at {at!r}: {place.uri} had no {missing[0]} then, before an overwrite; open it with icechunk")
    for axis in axes:
        cube[axis].encoding["_FillValue"] = None  # a coordinate of CF has none, and xarray would write NaN
    changed = {name: cube[name] for name in (COUNT, FLAGS, DISTANCE) if name in cube}
    for name in found.cube.variables:
        changed[name] = cube[name].astype("float32")
        changed[name].encoding = {"_FillValue": changed[name].dtype.type("nan")}
    for variable in changed.values():
        for attribute in _OF_EARLIER_CUBES:
            variable.attrs.pop(attribute, None)
        variable.attrs = without_conventions(variable.attrs)
        # An attribute, because arithmetic keeps attributes and drops encodings, and a file needs the CRS.
        variable.encoding.pop("grid_mapping", None)
        variable.attrs["grid_mapping"] = "spatial_ref"
    cube.attrs = without_conventions(cube.attrs)
    cube.attrs.pop(BANDS, None)
    return cube.assign(changed)


def _with_bands(cube: xr.Dataset, bands: Sequence[str]) -> xr.Dataset:
    """Return the dataset with the arrays of each band as variables with the dimension `band`."""
    import xarray as xr

    parts: dict[str, dict[str, xr.DataArray]] = {}
    for data in cube.data_vars.values():
        if VARIABLE in data.attrs and BAND in data.attrs:
            parts.setdefault(data.attrs[VARIABLE], {})[data.attrs[BAND]] = data
    stacked = {}
    for name, by_band in parts.items():
        together = xr.concat([by_band[band] for band in bands], BAND, combine_attrs="override")
        stacked[name] = together.transpose(..., BAND).assign_coords(
            {BAND: (BAND, list(bands), {"long_name": "band name"})}
        )
        for attribute in (VARIABLE, BAND):
            del stacked[name].attrs[attribute]
    return cube.drop_vars([str(data.name) for by_band in parts.values() for data in by_band.values()]).assign(stacked)
