"""A cube as an xarray dataset of reflectance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, find_cube
from ardcube.errors import InputError
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.conventions import without_conventions
from ardcube.store.schema import COUNT, DISTANCE, FLAGS, exists
from ardcube.store.validate import damage_as_store_error, read_layouts

if TYPE_CHECKING:
    import xarray as xr

_OF_EARLIER_CUBES = ("valid_min", "valid_max", "units")
"""Attributes that cubes no longer have: limits in digital numbers, and a unit that odc-geo cannot write."""


def open(
    uri: Uri, *, chunks: Mapping[str, int] | None = None, storage_options: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Open a cube lazily.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
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
        If there is no cube at the URI.
    StoreError
        If the store is damaged.
    """
    import xarray as xr

    from ardcube.store.backend import zarr_store

    found = find_cube(uri, storage_options)
    place, config = found.place, found.cube.config
    if not exists(place):
        raise InputError(f"{place.uri}: the store is missing or incomplete; run the build again")
    read_layouts(place)
    axes = found.cube.grid.axes
    stored = dict.fromkeys(axes, config.tile_size)
    with damage_as_store_error(place.uri), checked_codecs():
        cube: xr.Dataset = xr.open_zarr(
            zarr_store(place), chunks=stored | dict(chunks or {}), zarr_format=3, decode_coords="all"
        )
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
    return cube.assign(changed)
