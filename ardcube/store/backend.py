"""Zarr stores on the filesystems of fsspec; every call on the network has a time limit."""

from __future__ import annotations

import asyncio
from typing import Any

import zarr
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from ardcube.errors import StoreError
from ardcube.storage.place import Place, patience
from ardcube.store.session_place import SessionPlace


def zarr_store(place: Place) -> Store:
    """Return the Zarr store of a place."""
    if isinstance(place, SessionPlace):
        return place.zarr_store
    if place.is_local:
        return LocalStore(place.path)
    if place.fs.async_impl:
        return _TimeLimitedStore(FsspecStore.from_url(place.uri, storage_options=dict(place.fs.storage_options)))
    return FsspecStore.from_mapper(place.fs.get_mapper(place.path))


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array of a group.

    Raises
    ------
    StoreError
        If the group has no array of this name.
    """
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{group.store} has no array {name}; it is not a cube of this configuration")
    return array


class _TimeLimitedStore(WrapperStore[Store]):
    """A store on the network; reading, writing and deleting an object raise TimeoutError after a bounded time."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._fs: Any = getattr(store, "fs", None)

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.wait_for(self._store.get(key, *args, **kwargs), patience(self._fs))

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.wait_for(self._store.set(key, value), patience(self._fs, len(value)))

    async def delete(self, key: str) -> None:
        await asyncio.wait_for(self._store.delete(key), patience(self._fs))
