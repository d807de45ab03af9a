"""Decoded blocks that reads of neighbouring windows share.

A worker that builds chunks needs each block once. Small windows of one file, such as Dask chunks, need most blocks
several times, and decoding takes half of the time of a read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from ardcube.raster.decode import DecodedBlock, FetchedBand
from ardcube.raster.header import Blocks
from ardcube.raster.open import Raster

File = tuple[str, str]
"""Address and revision of a file."""
_Key = tuple[File, int, tuple[int, int]]
"""File, index of the level, row and column of the block."""


@dataclass(frozen=True, slots=True)
class CachedBand:
    """The decoded blocks of one band."""

    blocks: tuple[DecodedBlock, ...]

    @property
    def size(self) -> int:
        """Number of decoded bytes."""
        return sum(block.values.nbytes for block in self.blocks)

    def decode(self) -> Iterator[DecodedBlock]:
        """Yield the blocks."""
        yield from self.blocks


class BlockCache:
    """Keeps the blocks that were used last; safe in threads, which decode each block once.

    Parameters
    ----------
    most_bytes : int
        Bytes of decoded blocks to keep.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._blocks: OrderedDict[_Key, Future[DecodedBlock]] = OrderedDict()
        self._lock = Lock()

    def fetch(self, file: File, raster: Raster, blocks: Blocks) -> FetchedBand:
        """Return the needed blocks of a file, and fetch those that are not kept.

        Raises
        ------
        SceneError, TransientError
            If a block cannot be fetched or decoded.
        """
        if raster.decodes:  # it reads a window, not blocks
            return raster.fetch(blocks)
        level = blocks.level
        keys = {index: (file, level.index, index) for index in blocks.indices}
        own: dict[tuple[int, int], Future[DecodedBlock]] = {}
        with self._lock:
            for index, key in keys.items():
                if key not in self._blocks:
                    own[index] = self._blocks[key] = Future()
                self._blocks.move_to_end(key)
            found = [self._blocks[key] for key in keys.values()]
        if own:
            self._decode(raster, blocks, own, [keys[index] for index in own])
        # Only now wait for blocks of other threads: each thread first decodes the blocks that others may wait for.
        return CachedBand(tuple(future.result() for future in found))

    def _decode(
        self, raster: Raster, blocks: Blocks, own: dict[tuple[int, int], Future[DecodedBlock]], keys: list[_Key]
    ) -> None:
        """Fetch and decode blocks; after an error nobody finds them here."""
        needed = np.zeros(blocks.level.block_grid, bool)
        needed[tuple(np.transpose(list(own)))] = True
        height, width = blocks.level.block
        try:
            whole = replace(blocks, needed=needed, row=0, height=blocks.level.height)  # all rows of each block
            for block in raster.fetch(whole).decode():
                own[block.row // height, block.column // width].set_result(block)
                with self._lock:
                    self._bytes += block.values.nbytes
                    self._drop_old()
        except BaseException as error:
            for future in own.values():
                if not future.done():
                    future.set_exception(error)
            with self._lock:
                for key in keys:
                    if key in self._blocks and self._blocks[key].exception() is not None:
                        del self._blocks[key]
            raise

    def _drop_old(self) -> None:
        """Drop the blocks that were used longest ago, as far as they are decoded."""
        while self._bytes > self._most_bytes:
            key, future = next(iter(self._blocks.items()))
            if not future.done():
                return
            del self._blocks[key]
            self._bytes -= 0 if future.exception() else future.result().values.nbytes
