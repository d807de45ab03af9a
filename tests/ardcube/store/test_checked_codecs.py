"""Codecs for reading damaged chunks: whole chunks are read, chunks of another length than stated are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from ardcube.store import checked_codecs as module
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.schema import compressor

VALUES = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
NAMES = np.array(["red", "nir"], np.dtypes.StringDType())


def stored(values: Any = VALUES, **layout: Any) -> Store:
    store = MemoryStore()
    compressors = compressor() if values is VALUES else None
    array = zarr.create_array(store, shape=values.shape, dtype=values.dtype, compressors=compressors, **layout)
    array[:] = values
    return store


def change(store: Store, key: str, changed: Callable[[bytes], bytes]) -> None:
    content = asyncio.run(store.get(key, default_buffer_prototype()))
    assert content is not None
    asyncio.run(store.set(key, default_buffer_prototype().buffer.from_bytes(changed(content.to_bytes()))))


@pytest.mark.parametrize("layout", [{"chunks": (64, 64)}, {"chunks": (32, 32), "shards": (64, 64)}], ids=str)
def test_whole_chunks_are_read(layout: dict[str, Any]) -> None:
    with checked_codecs():
        opened = zarr.open_array(stored(**layout), mode="r")
    np.testing.assert_array_equal(opened[:], VALUES)


def test_whole_strings_are_read() -> None:
    with checked_codecs():
        opened = zarr.open_array(stored(NAMES, chunks=NAMES.shape), mode="r")
    assert opened[:].tolist() == ["red", "nir"]


def test_arrays_opened_outside_the_block_use_the_codecs_of_zarr() -> None:
    store = stored(chunks=(64, 64))
    with checked_codecs():
        inside = zarr.open_array(store, mode="r")
    outside = zarr.open_array(store, mode="r")
    kinds = [type(array.compressors[0]) is module.BloscCodec for array in (inside, outside)]
    assert kinds == [True, False]


@pytest.mark.parametrize(
    "changed",
    [
        lambda content: content[:-1],
        lambda content: content[:15],
        lambda content: content + b"more",
        lambda content: content[:12] + b"\xff\xff\xff\x7f" + content[16:],
    ],
    ids=["truncated", "no header", "longer", "a stated length of gigabytes"],
)
def test_a_chunk_of_another_length_than_its_header_states_is_refused(changed: Callable[[bytes], bytes]) -> None:
    store = stored(chunks=(64, 64))
    change(store, "c/0/0", changed)
    with checked_codecs():
        opened = zarr.open_array(store, mode="r")
    with pytest.raises(ValueError, match="states a length of"):
        opened[:]


def test_a_chunk_too_short_for_its_stated_number_of_strings_is_refused() -> None:
    store = stored(NAMES, chunks=NAMES.shape)
    change(store, "c/0", lambda content: b"\xff\xff\xff\xff" + content[4:])
    with checked_codecs():
        opened = zarr.open_array(store, mode="r")
    with pytest.raises(ValueError, match="states 4294967295 strings"):
        opened[:]
