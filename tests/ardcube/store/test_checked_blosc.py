"""Blosc for reading: the same pixels, with shards or without; bytes of another length than they say are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from ardcube.store.checked_blosc import CheckedBlosc, checked
from ardcube.store.schema import compressor

VALUES = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def stored(**layout: Any) -> Store:
    store = MemoryStore()
    array = zarr.create_array(store, shape=VALUES.shape, dtype="uint16", compressors=compressor(), **layout)
    array[:] = VALUES
    return store


def replace(store: Store, key: str, content: bytes) -> None:
    asyncio.run(store.set(key, default_buffer_prototype().buffer.from_bytes(content)))


def content_of(store: Store, key: str) -> bytes:
    found = asyncio.run(store.get(key, default_buffer_prototype()))
    assert found is not None
    return found.to_bytes()


@pytest.mark.parametrize("layout", [{"chunks": (64, 64)}, {"chunks": (32, 32), "shards": (64, 64)}], ids=str)
def test_what_is_whole_is_read(layout: dict[str, Any]) -> None:
    with checked():
        opened = zarr.open_array(stored(**layout), mode="r")
    np.testing.assert_array_equal(opened[:], VALUES)


def test_only_what_is_opened_meanwhile_is_checked() -> None:
    store = stored(chunks=(64, 64))
    with checked():
        inside = zarr.open_array(store, mode="r")
    outside = zarr.open_array(store, mode="r")
    kinds = [type(array.compressors[0]) is CheckedBlosc for array in (inside, outside)]
    assert kinds == [True, False]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],
        lambda content: content[:15],
        lambda content: content + b"more",
        lambda content: content[:12] + b"\xff\xff\xff\x7f" + content[16:],
    ],
    ids=["cut short", "no header", "longer", "a length of gigabytes"],
)
def test_bytes_of_another_length_than_they_say_are_refused(change: Any) -> None:
    store = stored(chunks=(64, 64))
    replace(store, "c/0/0", change(content_of(store, "c/0/0")))
    with checked():
        opened = zarr.open_array(store, mode="r")
    with pytest.raises(ValueError, match="say to be"):
        opened[:]
