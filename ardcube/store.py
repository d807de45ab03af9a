"""The Zarr v3 store: its schema, how it is created and extended, and how one chunk is written."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from ardcube.errors import StoreError
from ardcube.failures import explained
from ardcube.fence import Fence, fence_of
from ardcube.grid import Grid, Window
from ardcube.periods import Period
from ardcube.plan import CubeSpec
from ardcube.scenes import SCALE
from ardcube.storage import Place, flush, patience
from ardcube.zarr_metadata import check_array, check_own, read_metadata, readable

COUNT = "observation_count"
FILL = 0
_EPOCH = np.datetime64("1970-01-01", "D")
_TIME_CHUNK = 4096
"""Longer than any time axis, so that growing it rewrites one small chunk."""
_BLOSC_BLOCK = 512 * 1024
"""Bytes that Blosc packs at once: with its own choice a chunk takes twice as long and is 3 to 7 % larger."""
_METADATA = "zarr.json"
_COORDINATES = ("time", "time_bnds", "latitude", "longitude", "band", "spatial_ref")


def _layout(grid: Grid, chunk_size: int, shard: int) -> tuple[tuple[int, int, int], tuple[int, int, int] | None]:
    """Shape of a chunk and of a shard, (time, y, x). Neither is larger than the grid needs."""
    height, width = min(chunk_size, grid.height), min(chunk_size, grid.width)
    # A shard lies within one period: a longer time axis, or a month that is built again, touches no other month.
    rows, cols = min(shard, -(-grid.height // height)), min(shard, -(-grid.width // width))
    return (1, height, width), ((1, rows * height, cols * width) if shard > 1 else None)


def _cuts(start: int, stop: int, length: int, step: int) -> bool:
    """Whether a range does not consist of whole steps, of which the last one may reach beyond the length."""
    return start % step != 0 or (stop % step != 0 and stop != length)


def compressor() -> BloscCodec:
    """Codec of composites and counts, chosen by size and by time to write and read (docs/decisions/0010-writing.md)."""
    return BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=_BLOSC_BLOCK)


class _Patient(WrapperStore[Store]):
    """A store on the network, each of whose calls ends."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._fs: Any = getattr(store, "fs", None)

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.wait_for(self._store.get(key, *args, **kwargs), patience(self._fs))

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.wait_for(self._store.set(key, value), patience(self._fs, len(value)))

    async def delete(self, key: str) -> None:
        await asyncio.wait_for(self._store.delete(key), patience(self._fs))


class _ForWriting(WrapperStore[Store]):
    """A store whose pixels are written and never read, and only while the run that wants it holds the cube.

    zarr 3.1 reads a shard before it writes it, also where the whole of it is replaced: a request for nothing, and one
    that an object which was damaged makes fail for ever.
    """

    def __init__(self, store: Store, fence: Fence | None = None) -> None:
        super().__init__(store)
        self._fence = fence

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._fence)

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        return await self._store.get(key, *args, **kwargs) if key.endswith(_METADATA) else None

    def get_sync(self, key: str, **kwargs: Any) -> Any:
        # Later versions of zarr ask so where the store below can answer at once.
        return self._store.get_sync(key, **kwargs) if key.endswith(_METADATA) else None  # type: ignore[attr-defined]

    async def set(self, key: str, value: Buffer) -> None:
        await self._check()
        await self._store.set(key, value)
        if isinstance(self._store, LocalStore):
            # The record, which comes next, shall not outlast a power cut that the pixels do not.
            await asyncio.to_thread(flush, self._store.root / key)

    async def delete(self, key: str) -> None:
        await self._check()
        await self._store.delete(key)

    async def _check(self) -> None:
        """Ask as late as can be: the chunk is compressed, and its bytes go out next."""
        if self._fence is not None and not self._fence.is_fresh:
            await asyncio.to_thread(self._fence.check)


@dataclass(frozen=True, slots=True)
class CubeStore:
    """A store that stands ready."""

    composite: zarr.Array[Any]
    """uint16 (time, latitude, longitude, band)"""
    count: zarr.Array[Any]
    """uint16 (time, latitude, longitude)"""
    uri: str
    """Where it stands, for a person."""

    def write_chunk(
        self, time_index: int, window: Window, values: NDArray[np.uint16], count: NDArray[np.uint16]
    ) -> None:
        """Write one chunk, or one shard, to exactly its region: one object of each array, replaced in one piece.

        What holds nothing but 0 leaves no object behind.

        Parameters
        ----------
        time_index : int
            Position on the time axis.
        window : Window
            Region in the plane, from the tile grid.
        values : uint16 (y, x, band)
            Composite.
        count : uint16 (y, x)
            Clear days.

        Raises
        ------
        StoreError
            If the region cuts through an object: the rest of it would be lost.
        LeaseLostError
            If the run that this is for no longer holds the cube.
        UnwritableError, TransientError
            If the store does not take it, for good or for now; what stood there stands, or the whole new chunk.
        """
        _, height, width = self.count.shape
        _, *stored = self.count.shards or self.count.chunks
        if _cuts(window.y0, window.y1, height, stored[0]) or _cuts(window.x0, window.x1, width, stored[1]):
            raise StoreError(f"{window} cuts through the store's objects of {stored[0]} x {stored[1]} pixels")
        rows, cols = window.slices
        with explained(self.uri):
            _for(values, self.composite)[time_index : time_index + 1, rows, cols, :] = values[None]
            _for(count, self.count)[time_index : time_index + 1, rows, cols] = count[None]


def _for(values: NDArray[np.uint16], array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The array, told that `values` are not all 0, where they are not: zarr takes ten times as long to find out.

    A shard leaves out those of its chunks that are, so zarr has to look at each.
    """
    if array.shards is not None or not np.count_nonzero(values):
        return array
    return array.with_config({"write_empty_chunks": True})


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
    group = zarr.open_group(_zarr_store(place), mode="a", zarr_format=3, attributes=_group_attributes())
    shape = (len(periods), grid.height, grid.width)
    chunks, shards = _layout(grid, chunk_size, shard)
    _write_plane_coordinates(group, grid, spec.bands)
    _write_times(group, periods)
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
        group = zarr.open_group(_zarr_store(place), mode="r+", zarr_format=3, use_consolidated=False)
        for name in (varname, COUNT):
            array = _array(group, name)
            if array.shape[0] < len(periods):
                array.resize((len(periods), *array.shape[1:]))
        _write_times(group, periods)
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
    own = (varname, COUNT, *_COORDINATES)
    names = place.list()
    place.remove(["zarr.json"] if "zarr.json" in names else [])  # first: without it nobody takes the rest for a cube
    place.remove(name for name in names if name.split("/", 1)[0] in own)
    place.remove_empty_folders()


def open_for_writing(spec: CubeSpec) -> CubeStore:
    """Open the store's arrays; kept per process, since every chunk needs them.

    Raises
    ------
    StoreError
        If the arrays are not those of the cube.
    """
    options = json.dumps(dict(spec.storage_options), sort_keys=True)
    shape = (spec.periods, spec.grid.height, spec.grid.width)
    fence = fence_of(spec.ledger_uri, spec.storage_options, spec.holder)
    with explained(spec.store_uri):
        return _open(spec.store_uri, spec.varname, options, shape, spec.fingerprint, fence)


# Shape and fingerprint are part of the key: a worker outlives runs, and in between a cube can grow or be replaced.
@lru_cache(maxsize=8)
def _open(
    uri: str, varname: str, options: str, shape: tuple[int, int, int], _fingerprint: str, fence: Fence | None
) -> CubeStore:
    # Not the consolidated metadata: its shapes are old for a moment while the time axis grows.
    place = Place.at(uri, json.loads(options))
    with readable(uri):
        for name, content in place.read_many(f"{name}/{_METADATA}" for name in (varname, COUNT)).items():
            check_array(name, json.loads(content))
        group = zarr.open_group(
            _ForWriting(_zarr_store(place), fence), mode="r+", zarr_format=3, use_consolidated=False
        )
        opened = CubeStore(_array(group, varname), _array(group, COUNT), uri)
    if opened.composite.shape[:3] != shape or opened.count.shape != shape:
        # zarr would clip what lies outside without a word.
        raise StoreError(f"{uri} has shape {opened.count.shape}, the plan {shape}; run again to plan anew")
    return opened


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{group.store} has no array {name}; it is not a cube of this configuration")
    return array


def _zarr_store(place: Place) -> Store:
    if place.is_local:
        return LocalStore(place.path)
    if place.fs.async_impl:
        return _Patient(FsspecStore.from_url(place.uri, storage_options=dict(place.fs.storage_options)))
    return FsspecStore.from_mapper(place.fs.get_mapper(place.path))


def _consolidate(place: Place) -> None:
    with warnings.catch_warnings():
        # Zarr v3 has no words for it yet, but every reader named in the README understands it.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(_zarr_store(place))


def _group_attributes() -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": "Analysis-ready cube of Sentinel-2 L2A median composites",
        "source": "Sentinel-2 L2A; contains modified Copernicus Sentinel data",
    }


def _write_times(group: zarr.Group, periods: Sequence[Period]) -> None:
    """Write `time`, the periods' starts, and their CF bounds."""
    starts = _days([period.start for period in periods])
    bounds = np.stack([starts, _days([period.end for period in periods])], axis=1)
    encoding = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    time = {"axis": "T", "standard_name": "time", "long_name": "start of the period", "bounds": "time_bnds"}
    _write(group, "time", starts, ("time",), encoding | time, chunks=(_TIME_CHUNK,))
    _write(group, "time_bnds", bounds, ("time", "nv"), encoding, chunks=(_TIME_CHUNK, 2))


def _days(dates: Sequence[Any]) -> NDArray[np.int64]:
    return (np.array(dates, "datetime64[D]") - _EPOCH).astype(np.int64)


def _write_plane_coordinates(group: zarr.Group, grid: Grid, bands: Sequence[str]) -> None:
    lat = {"axis": "Y", "standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
    lon = {"axis": "X", "standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
    _write(group, "latitude", grid.latitude(np.arange(grid.height)), ("latitude",), lat)
    _write(group, "longitude", grid.longitude(np.arange(grid.width)), ("longitude",), lon)
    transform = grid.transform
    crs = grid.geobox.crs
    assert crs is not None  # a grid is always in degrees
    mapping = crs.proj.to_cf() | {
        "spatial_ref": crs.to_wkt(),
        "GeoTransform": " ".join(repr(float(value)) for value in transform.to_gdal()),
    }
    _write(group, "spatial_ref", np.array(grid.geobox.crs.to_epsg(), np.int32), (), mapping)  # type: ignore[union-attr]
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
        array = _array(group, name)
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
