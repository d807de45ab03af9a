"""A group of a Zarr store as a store, for stores whose groups have no address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Self

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore


def group_store(store: Store, group: str) -> Store:
    """Return a group of a store as a store.

    Parameters
    ----------
    store : Store
        Store without consolidated metadata.
    group : str
        Path of the group, with a slash at its end; empty for the root.
    """
    return _GroupStore(store, group) if group else store


class _GroupStore(WrapperStore[Store]):
    supports_consolidated_metadata = False

    def __init__(self, store: Store, group: str) -> None:
        super().__init__(store)
        self._group = group

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._group)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return await self._store.get(self._group + key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return await self._store.get_partial_values(prototype, [(self._group + key, part) for key, part in key_ranges])

    async def exists(self, key: str) -> bool:
        return await self._store.exists(self._group + key)

    async def set(self, key: str, value: Buffer) -> None:
        await self._store.set(self._group + key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        await self._store.set_if_not_exists(self._group + key, value)

    async def delete(self, key: str) -> None:
        await self._store.delete(self._group + key)

    async def delete_dir(self, prefix: str) -> None:
        await self._store.delete_dir(self._group + prefix)

    def list(self) -> AsyncIterator[str]:
        return self._relative(self._store.list_prefix(self._group))

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        return self._relative(self._store.list_prefix(self._group + prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        return self._store.list_dir((self._group + prefix).rstrip("/"))

    async def _relative(self, keys: Any) -> AsyncIterator[str]:
        async for key in keys:
            yield key.removeprefix(self._group)
