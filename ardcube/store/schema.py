"""Create, extend, check and remove the group that holds the arrays of a cube: coordinates and variables."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ardcube.config.encoding import LEAST, MOST, CubeEncoding
from ardcube.errors import StoreError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.pixels.composites.protocol import OBSERVATION_COUNT, Layer
from ardcube.pixels.gaps import LAYERS
from ardcube.planning.arrays import StoredArray
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store import conventions
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.coordinates import COMPLETE, COORDINATES, write_plane, write_times
from ardcube.store.coordinates import write_complete as write_shares
from ardcube.store.validate import METADATA, Layout, check_layouts, damage_as_store_error

COUNT = OBSERVATION_COUNT.name
FLAGS, DISTANCE = (layer.name for layer in LAYERS)
"""Layers of a filled cube."""
FILL = 0
VARIABLE, BAND = "variable", "band"
"""Attributes of an array that holds one band of a variable."""
BANDS = "bands"
"""Attribute of a group with such arrays: all bands in order, because arrays have none."""
ATTRIBUTES = {
    "Conventions": "CF-1.11",
    # xarray makes them coordinates. As a variable, time_bnds would end each operation of rioxarray on the dataset.
    "coordinates": f"time_bnds {COMPLETE} spatial_ref",
}
"""Attributes of every group that holds arrays."""
_BLOSC_BLOCK = 512 * 1024
"""Bytes of a Blosc block. With the size that Blosc chooses, chunks take twice as long and are 3 to 7 % larger."""


def compressor() -> BloscCodec:
    """Return the codec of composites and counts; docs/decisions/0010-writing.md has the figures behind the choice."""
    return BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=_BLOSC_BLOCK)


def exists(place: Place) -> bool:
    """Return whether a place holds a complete Zarr v3 group; its consolidated metadata are written last."""
    content = place.read(METADATA)
    if content is None:
        return False
    try:
        return "consolidated_metadata" in dict(json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return False


def check(place: Place, spec: CubeSpec, chunk_size: int, shard: int) -> None:
    """Raise StoreError if the store's layout differs from the one it was created with."""
    chunk_shape, shard_shape = _object_shapes(spec.grid, chunk_size, shard)
    codecs: tuple[str, ...] = ("bytes", "blosc")
    if shard_shape is not None:
        codecs = ("sharding_indexed", *codecs, "bytes", "crc32c")
    bands = (len(spec.bands),)
    created = {
        array.name: Layout(
            data_type=array.layer.dtype,
            fill_value=_fill_in_json(array.layer),
            shape=(spec.periods, spec.grid.height, spec.grid.width, *last),
            object_shape=(*(shard_shape or chunk_shape), *last),
            codecs=codecs,
            chunk_shape=(*chunk_shape, *last),
        )
        for array in spec.arrays
        for last in (bands if array.has_bands else (),)
    }
    check_layouts(place, created)


def create(
    place: Place,
    spec: CubeSpec,
    periods: Sequence[Period],
    chunk_size: int,
    shard: int = 1,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Create the store: coordinates, empty arrays, then the consolidated metadata.

    Parameters
    ----------
    place : Place
        Address of the store. An incomplete store at this address is replaced.
    spec : CubeSpec
        Grid, bands, composites and encoding.
    periods : sequence of Period
        Time axis.
    chunk_size : int
        Rows and columns of a chunk, in pixels.
    shard : int
        Chunks on each side of a shard; with 1 the arrays are not sharded.
    attributes : mapping, optional
        Global attributes in addition to those of every cube.
    """
    grid = spec.grid
    described = ATTRIBUTES | conventions.of_group(grid) | dict(attributes or {})
    group = zarr.open_group(zarr_store(place), mode="a", zarr_format=3, attributes=described)
    shape = (len(periods), grid.height, grid.width)
    chunks, shards = _object_shapes(grid, chunk_size, shard)
    write_plane(group, grid, spec.bands if spec.layout == "flat" else ())
    write_times(group, periods)
    write_shares(group, np.zeros(len(periods), np.float32))
    for array in spec.arrays:
        last = (len(spec.bands),) if array.has_bands else ()
        group.create_array(
            array.name,
            shape=(*shape, *last),
            chunks=(*chunks, *last),
            shards=(*shards, *last) if shards else None,
            dimension_names=("time", *grid.axes, *(("band",) if array.has_bands else ())),
            attributes=_attributes_of(array.layer, spec) | _part_of(array) | conventions.of_array(grid),
            dtype=array.layer.dtype,
            fill_value=array.layer.fill,
            compressors=compressor(),
            overwrite=True,
        )
    consolidate(place)


def _part_of(array: StoredArray) -> dict[str, str]:
    """Return the attributes by which the arrays of a variable are found."""
    return {VARIABLE: array.layer.name, BAND: array.band} if array.band else {}


def _attributes_of(layer: Layer, spec: CubeSpec) -> dict[str, Any]:
    """Return the attributes of a variable."""
    encoding = spec.encoding
    # No valid_min and valid_max: readers apply them to reflectance too. No units: with them odc-geo writes no GeoTIFF
    # of several bands, and CF does not need them for numbers without dimension.
    attributes: dict[str, Any] = {"long_name": layer.long_name}
    if layer.quantity == "reflectance":
        attributes |= {"standard_name": "surface_bidirectional_reflectance", **_clipping(encoding)}
    if layer.quantity in ("reflectance", "difference"):
        attributes["scale_factor"] = encoding.scale
        attributes["add_offset"] = encoding.offset if layer.quantity == "reflectance" else 0.0
    if layer.quantity == "days":
        attributes["units"] = "day"  # the unit "days" makes xarray decode times
    if layer.quantity not in ("number", "observations", "flag"):  # NaN needs no attribute; 0 may be a value
        attributes["_FillValue"] = int(layer.fill)
    if layer.flags:
        attributes |= {"flag_values": list(range(len(layer.flags))), "flag_meanings": " ".join(layer.flags)}
    if layer in spec.layers:
        attributes["ancillary_variables"] = " ".join(one.name for one in spec.variables[len(spec.layers) :])
    attributes |= {
        "grid_mapping": "spatial_ref",
        "coordinates": "spatial_ref",  # makes it a coordinate in xarray
    }
    named = {"standard_name": layer.standard_name, "cell_methods": layer.cell_methods}
    attributes |= {name: text for name, text in named.items() if text}
    comments = [text for text in (attributes.get("comment"), layer.comment) if text]
    return attributes | ({"comment": "; ".join(comments)} if comments else {})


def _clipping(encoding: CubeEncoding) -> dict[str, str]:
    """Return the attribute that states the valid range, if it is not that of the data type."""
    if (encoding.low, encoding.high) == (LEAST, MOST):
        return {}
    least, most = encoding.limits
    return {"comment": f"reflectance is clipped to {least:g} .. {most:g}"}


def _fill_in_json(layer: Layer) -> Any:
    """Return the fill value of a variable as Zarr's metadata state it."""
    return int(layer.fill) if layer.quantity != "number" else "NaN"


def read_attributes(place: Place) -> dict[str, Any]:
    """Return the global attributes of a store.

    Raises
    ------
    StoreError
        If the metadata are damaged.
    """
    with damage_as_store_error(place.uri):
        return dict(json.loads(place.read(METADATA) or b"{}").get("attributes") or {})


def extend(
    place: Place,
    names: str | Sequence[str],
    periods: Sequence[Period],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Extend the time axis to `periods`; existing chunks stay unchanged. Repeating it changes nothing.

    Parameters
    ----------
    place : Place
        Address of the store.
    names : str or sequence of str
        Variables of the composites.
    periods : sequence of Period
        The longer time axis.
    attributes : mapping, optional
        Global attributes that replace those of the same names.
    """
    with damage_as_store_error(place.uri):
        group = zarr.open_group(zarr_store(place), mode="r+", zarr_format=3, use_consolidated=False)
        is_early = COMPLETE not in group  # the end of the run adds the array
        for name in (*([names] if isinstance(names, str) else names), COUNT, *([] if is_early else [COMPLETE])):
            array = array_of(group, name)
            if array.shape[0] < len(periods):
                array.resize((len(periods), *array.shape[1:]))
        write_times(group, periods)
        consolidate(place)
        if attributes:
            # With the consolidated metadata, in one object: a group without them is not a complete store.
            update_attributes(place, attributes)


def write_complete(place: Place, shares: NDArray[np.float32]) -> None:
    """Write `complete`, the share of finished tiles of each period; add the array to a cube of an earlier version.

    Parameters
    ----------
    place : Place
        Address of the store.
    shares : float32 (time,)
        0 to 1. They are one object, which readers see whole.
    """
    with damage_as_store_error(place.uri):
        group = zarr.open_group(zarr_store(place), mode="r+", zarr_format=3, use_consolidated=False)
        is_new = COMPLETE not in group
        write_shares(group, shares)
        if is_new:
            names = dict.fromkeys([*str(group.attrs.get("coordinates", "")).split(), COMPLETE])
            consolidate(place)
            update_attributes(place, {"coordinates": " ".join(names)})


def update_attributes(place: Place, attributes: Mapping[str, Any]) -> None:
    """Replace global attributes of the same names, in one object with the consolidated metadata."""
    zarr.open_group(zarr_store(place), mode="r+", zarr_format=3).update_attributes(dict(attributes))


def remove(place: Place, *variables: str) -> None:
    """Delete the arrays and metadata that `create` wrote, and no other file.

    Raises
    ------
    StoreError
        If one of the variables is not a plain name.
    """
    for name in variables:
        if "/" in name or name in ("", ".", ".."):
            raise StoreError(f"{name!r} is not a variable of a cube; nothing was removed")
    arrays = (*variables, COUNT, FLAGS, DISTANCE, *COORDINATES)
    names = place.list()
    # The group's metadata first, because the rest without it is no cube to any reader.
    place.remove([METADATA] if METADATA in names else [])
    place.remove(name for name in names if name.split("/", 1)[0] in arrays)
    place.remove_empty_folders()


def _object_shapes(grid: Grid, chunk_size: int, shard: int) -> tuple[tuple[int, int, int], tuple[int, int, int] | None]:
    """Return the shapes (time, y, x) of a chunk and of a shard; neither is larger than the grid needs."""
    height, width = min(chunk_size, grid.height), min(chunk_size, grid.width)
    # A shard holds chunks of one period, so that extending or rebuilding a period changes no other period.
    rows, cols = min(shard, -(-grid.height // height)), min(shard, -(-grid.width // width))
    return (1, height, width), ((1, rows * height, cols * width) if shard > 1 else None)


def consolidate(place: Place) -> None:
    """Write the metadata of all arrays into those of the group; the store is complete then.

    A version of icechunk is complete because it is published in one step, and has no such metadata.
    """
    store = zarr_store(place)
    if not store.supports_consolidated_metadata:
        return
    with warnings.catch_warnings():
        # The specification of Zarr v3 does not define them yet; every reader named in the README reads them.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component")  # STAC documents
        zarr.consolidate_metadata(store)
