"""Write the pixels of a chunk to exactly its region of the store, and only while the run holds its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, WrapperStore

from ardcube.errors import StoreError
from ardcube.extent.window import Window
from ardcube.lease.fence import Fence
from ardcube.planning.plan import CubeSpec
from ardcube.runtime.usage import count_object
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, flush
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.layouts import group_of
from ardcube.store.validate import METADATA, damage_as_store_error


@dataclass(frozen=True, slots=True)
class CubeStore:
    """The arrays of a cube, open for writing."""

    arrays: tuple[zarr.Array[Any], ...]
    """As in `CubeSpec.arrays`: (time, latitude, longitude, band) or (time, latitude, longitude)."""
    uri: str
    """Address of the store, for messages."""

    @classmethod
    def open(cls, spec: CubeSpec, fence: Fence | None = None, store: Place | None = None) -> Self:
        """Open the arrays of a cube, written only while the fence allows it.

        Parameters
        ----------
        spec : CubeSpec
            The cube, or a level of it.
        fence : Fence, optional
            Checked before each write.
        store : Place, optional
            Store of the cube. Default: the plain store at the address in `spec`.

        Raises
        ------
        StoreError
            If the arrays are missing, damaged, or not of the shape in `spec`.
        """
        place = group_of(store or Place.at(spec.store_uri, spec.storage_options), spec)
        names = [array.name for array in spec.arrays]
        return cls.open_arrays(place, names, (spec.periods, spec.grid.height, spec.grid.width), fence)

    @classmethod
    def open_arrays(cls, place: Place, names: Sequence[str], shape: tuple[int, ...], fence: Fence | None) -> Self:
        """Open arrays by name, written only while the fence allows it.

        Raises
        ------
        StoreError
            If the arrays are missing, damaged, or not of the shape (time, y, x).
        """
        uri = place.uri
        with explained(uri), damage_as_store_error(uri):
            # Not the consolidated metadata: they are stale for a moment while the time axis is extended.
            group = zarr.open_group(
                _WriteOnlyStore(zarr_store(place), fence), mode="r+", zarr_format=3, use_consolidated=False
            )
            opened = cls(tuple(array_of(group, name) for name in names), uri)
        if wrong := [found for array in opened.arrays if (found := array.shape[:3]) != shape]:
            # zarr clips a region that is outside the array, and reports nothing.
            raise StoreError(f"{uri} has shape {wrong[0]}, the plan {shape}; run again to make a new plan")
        return opened

    def write_chunk(self, time_index: int, window: Window, *arrays: NDArray[Any]) -> None:
        """Write one chunk, or one shard, as one object of each array, which appears whole or not at all.

        An array of fill values alone gets no object.

        Parameters
        ----------
        time_index : int
            Position on the time axis.
        window : Window
            Region in the plane, from the tile grid.
        *arrays : arrays (y, x, band) or (y, x)
            Values of the arrays, in order.

        Raises
        ------
        StoreError
            If the region covers an object in part: its other pixels would be lost.
        LeaseLostError
            If the run no longer holds the lease of the cube.
        UnwritableError, TransientError
            If the store refuses the object, permanently or for a while. The object is then the old or the new one.
        """
        if len(arrays) != len(self.arrays):
            raise ValueError(f"values of {len(arrays)} arrays for {len(self.arrays)}")
        for number, values in enumerate(arrays):
            self.write(number, time_index, window, values)

    def write(self, number: int, time_index: int, window: Window, values: NDArray[Any]) -> None:
        """Write one chunk, or one shard, of the array at a position in `arrays`, as `write_chunk` does."""
        stored = self.arrays[number]
        _, height, width = stored.shape[:3]
        _, *sides = (stored.shards or stored.chunks)[:3]
        if _cuts(window.y0, window.y1, height, sides[0]) or _cuts(window.x0, window.x1, width, sides[1]):
            raise StoreError(f"{window} cuts through the store's objects of {sides[0]} x {sides[1]} pixels")
        rows, cols = window.slices
        with explained(self.uri):
            _for_values(stored, values)[time_index : time_index + 1, rows, cols] = values[None]


def _cuts(start: int, stop: int, length: int, step: int) -> bool:
    """Return whether a range covers a step in part; the last step may extend beyond the length."""
    return start % step != 0 or (stop % step != 0 and stop != length)


def _for_values(array: zarr.Array[Any], values: NDArray[Any]) -> zarr.Array[Any]:
    """Return the array, set to write values that are not all fill values without comparing them again.

    zarr compares ten times as slowly as NumPy counts. In a shard zarr has to compare, because it leaves out chunks.
    """
    if array.shards is not None or not has_values(values, array.fill_value):
        return array
    return array.with_config({"write_empty_chunks": True})


def has_values(values: NDArray[Any], fill: Any) -> bool:
    """Return whether an array has a value that is not the fill value."""
    if fill == 0:
        return bool(np.count_nonzero(values))
    return not bool((np.isnan(values) if np.isnan(fill) else values == fill).all())


class _WriteOnlyStore(WrapperStore[Store]):
    """A store whose pixels are written, never read, and only while the run holds the lease.

    zarr 3.1 reads a shard before it replaces it whole: a needless request, which a damaged object makes fail.
    """

    def __init__(self, store: Store, fence: Fence | None = None) -> None:
        super().__init__(store)
        self._fence = fence

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._fence)

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        return await self._store.get(key, *args, **kwargs) if key.endswith(METADATA) else None

    def get_sync(self, key: str, **kwargs: Any) -> Any:
        # Called instead of `get` by later versions of zarr if the inner store has it.
        return self._store.get_sync(key, **kwargs) if key.endswith(METADATA) else None  # type: ignore[attr-defined]

    async def set(self, key: str, value: Buffer) -> None:
        await self._check_lease()
        await self._store.set(key, value)
        count_object(len(value))
        if isinstance(self._store, LocalStore):
            # Pixels reach the disk before their record, so that no record outlives them in a power cut.
            await asyncio.to_thread(flush, self._store.root / key)

    async def delete(self, key: str) -> None:
        await self._check_lease()
        await self._store.delete(key)

    async def _check_lease(self) -> None:
        """Check the lease as late as possible: after the chunk was compressed."""
        if self._fence is not None and not self._fence.is_fresh:
            await asyncio.to_thread(self._fence.check)
