"""How the pixels of one chunk get into the store: to exactly their region, and never past a lease."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, WrapperStore

from ardcube.errors import StoreError
from ardcube.extent.grid import Window
from ardcube.lease.fence import Fence, fence_of
from ardcube.plan.plan import CubeSpec
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, flush
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.schema import COUNT
from ardcube.store.validate import check_array, readable

_METADATA = "zarr.json"


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
        group = zarr.open_group(_ForWriting(zarr_store(place), fence), mode="r+", zarr_format=3, use_consolidated=False)
        opened = CubeStore(array_of(group, varname), array_of(group, COUNT), uri)
    if opened.composite.shape[:3] != shape or opened.count.shape != shape:
        # zarr would clip what lies outside without a word.
        raise StoreError(f"{uri} has shape {opened.count.shape}, the plan {shape}; run again to plan anew")
    return opened


def _cuts(start: int, stop: int, length: int, step: int) -> bool:
    """Whether a range does not consist of whole steps, of which the last one may reach beyond the length."""
    return start % step != 0 or (stop % step != 0 and stop != length)


def _for(values: NDArray[np.uint16], array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The array, told that `values` are not all 0, where they are not: zarr takes ten times as long to find out.

    A shard leaves out those of its chunks that are, so zarr has to look at each.
    """
    if array.shards is not None or not np.count_nonzero(values):
        return array
    return array.with_config({"write_empty_chunks": True})


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
