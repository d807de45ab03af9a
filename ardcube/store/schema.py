"""The Zarr v3 store: its schema, and how it is created, extended, checked and removed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import zarr
from zarr.codecs import BloscCodec

from ardcube.catalog.scene import SCALE
from ardcube.errors import StoreError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.plan.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.coordinates import COORDINATES, write_plane, write_times
from ardcube.store.validate import check_own, read_metadata, readable

COUNT = "observation_count"
FILL = 0
_BLOSC_BLOCK = 512 * 1024
"""Bytes that Blosc packs at once: with its own choice a chunk takes twice as long and is 3 to 7 % larger."""


def _layout(grid: Grid, chunk_size: int, shard: int) -> tuple[tuple[int, int, int], tuple[int, int, int] | None]:
    """Shape of a chunk and of a shard, (time, y, x). Neither is larger than the grid needs."""
    height, width = min(chunk_size, grid.height), min(chunk_size, grid.width)
    # A shard lies within one period: a longer time axis, or a month that is built again, touches no other month.
    rows, cols = min(shard, -(-grid.height // height)), min(shard, -(-grid.width // width))
    return (1, height, width), ((1, rows * height, cols * width) if shard > 1 else None)


def compressor() -> BloscCodec:
    """Codec of composites and counts, chosen by size and by time to write and read (docs/decisions/0010-writing.md)."""
    return BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=_BLOSC_BLOCK)


def is_there(place: Place) -> bool:
    """Whether a complete Zarr v3 group stands at a place: its metadata is written last."""
    content = place.read("zarr.json")
    if content is None:
        return False
    try:
        return "consolidated_metadata" in dict(json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return False


def check(place: Place, spec: CubeSpec, chunk_size: int, shard: int) -> None:
    """Refuse a store that is no longer laid out as it was made: what is built would not fit to what stands.

    Raises
    ------
    StoreError
        If somebody has edited its metadata.
    """
    arrays = read_metadata(place)
    check_own(place, arrays)
    chunks, shards = _layout(spec.grid, chunk_size, shard)
    for name, more in ((spec.varname, (len(spec.bands),)), (COUNT, ())):
        wanted = ("uint16", FILL, *(shards or chunks), *more)
        with readable(place.uri):
            array = arrays[name]
            found = (array["data_type"], array["fill_value"], *array["chunk_grid"]["configuration"]["chunk_shape"])
            if found != wanted:
                raise ValueError(f"{name} is stored as {found}, and was made as {wanted}")


def create(place: Place, spec: CubeSpec, periods: Sequence[Period], chunk_size: int, shard: int = 1) -> None:
    """Create the store: coordinates, empty arrays, consolidated metadata.

    Parameters
    ----------
    place : Place
        Where there is no store yet, or a part of one that was never finished.
    spec : CubeSpec
        Of the cube.
    periods : sequence of Period
        Time axis.
    chunk_size : int
        Rows and columns of a chunk, in pixels.
    shard : int
        Chunks on each side of a shard; 1 stores each chunk as an object of its own.
    """
    grid = spec.grid
    group = zarr.open_group(zarr_store(place), mode="a", zarr_format=3, attributes=_group_attributes())
    shape = (len(periods), grid.height, grid.width)
    chunks, shards = _layout(grid, chunk_size, shard)
    write_plane(group, grid, spec.bands)
    write_times(group, periods)
    common: dict[str, Any] = {
        "dtype": "uint16",
        "fill_value": FILL,
        "compressors": compressor(),
        "overwrite": True,
    }
    group.create_array(
        spec.varname,
        shape=(*shape, len(spec.bands)),
        chunks=(*chunks, len(spec.bands)),
        shards=(*shards, len(spec.bands)) if shards else None,
        dimension_names=("time", "latitude", "longitude", "band"),
        attributes={
            "long_name": "median of clear observations",
            "standard_name": "surface_bidirectional_reflectance",
            "units": "1",
            "scale_factor": SCALE,
            "add_offset": spec.offset,
            "_FillValue": FILL,
            "valid_min": 1,
            "valid_max": 65535,
            "grid_mapping": "spatial_ref",
            "coordinates": "spatial_ref",  # so that xarray makes it a coordinate without being asked
            "cell_methods": "time: median",
        },
        **common,
    )
    group.create_array(
        COUNT,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dimension_names=("time", "latitude", "longitude"),
        attributes={
            "long_name": "number of clear days behind the composite",
            "units": "1",
            "grid_mapping": "spatial_ref",
            "coordinates": "spatial_ref",  # so that xarray makes it a coordinate without being asked
            "cell_methods": "time: sum",
        },
        **common,
    )
    _consolidate(place)


def extend(place: Place, varname: str, periods: Sequence[Period]) -> None:
    """Grow the time axis to `periods`; nothing that stands is touched. Harmless when repeated."""
    read_metadata(place)
    with readable(place.uri):
        group = zarr.open_group(zarr_store(place), mode="r+", zarr_format=3, use_consolidated=False)
        for name in (varname, COUNT):
            array = array_of(group, name)
            if array.shape[0] < len(periods):
                array.resize((len(periods), *array.shape[1:]))
        write_times(group, periods)
        _consolidate(place)


def remove(place: Place, varname: str) -> None:
    """Delete the store that `create` made: its own arrays and metadata, no other file.

    Raises
    ------
    StoreError
        If `varname` is not a plain name.
    """
    if "/" in varname or varname in ("", ".", ".."):
        raise StoreError(f"{varname!r} is not a variable of a cube; nothing was removed")
    own = (varname, COUNT, *COORDINATES)
    names = place.list()
    place.remove(["zarr.json"] if "zarr.json" in names else [])  # first: without it nobody takes the rest for a cube
    place.remove(name for name in names if name.split("/", 1)[0] in own)
    place.remove_empty_folders()


def _consolidate(place: Place) -> None:
    with warnings.catch_warnings():
        # Zarr v3 has no words for it yet, but every reader named in the README understands it.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(zarr_store(place))


def _group_attributes() -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": "Analysis-ready cube of Sentinel-2 L2A median composites",
        "source": "Sentinel-2 L2A; contains modified Copernicus Sentinel data",
    }
