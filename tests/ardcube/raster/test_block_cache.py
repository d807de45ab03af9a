"""Decoded blocks are shared between reads, and never wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from ardcube.errors import SceneError
from ardcube.raster.block_cache import BlockCache
from ardcube.raster.decode import FetchedBand
from ardcube.raster.header import Blocks, Header
from ardcube.raster.open import Raster, open_raster
from tests import rasters

BLOCK_BYTES = 128 * 128 * 2


@dataclass
class Counted:
    """A raster that counts its blocks, and fails a number of times."""

    raster: Raster
    failures: int = 0
    fetched: list[tuple[int, int]] = field(default_factory=list)

    @property
    def header(self) -> Header:
        return self.raster.header

    @property
    def decodes(self) -> bool:
        return self.raster.decodes

    def fetch(self, blocks: Blocks) -> FetchedBand:
        if self.failures:
            self.failures -= 1
            raise SceneError("damaged")
        self.fetched += blocks.indices
        return self.raster.fetch(blocks)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return rasters.write(tmp_path / "scene.tif", rasters.pixels(384, 384), overviews=False)


def counted(file: Path, reader: Any = "auto") -> Counted:
    return Counted(open_raster(str(file), "", "unsigned", reader))


def blocks(raster: Counted, *indices: tuple[int, int]) -> Blocks:
    level = raster.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[tuple(np.transpose(indices))] = True
    return Blocks(level, needed, 0, 0, level.height, level.width)


def values(band: FetchedBand) -> dict[tuple[int, int], Any]:
    return {(block.row, block.column): block.digital_numbers() for block in band.decode()}


def test_each_block_is_decoded_once(file: Path) -> None:
    cache, raster = BlockCache(100 * BLOCK_BYTES), counted(file)
    first = values(cache.fetch(("a", ""), raster, blocks(raster, (0, 0), (0, 1))))
    second = values(cache.fetch(("a", ""), raster, blocks(raster, (0, 1), (1, 1))))
    assert raster.fetched == [(0, 0), (0, 1), (1, 1)]
    expected = values(raster.raster.fetch(blocks(raster, (0, 0), (0, 1), (1, 1))))
    for found in (first, second):
        assert all(np.array_equal(pixels, expected[place]) for place, pixels in found.items())
    assert list(second) == [(0, 128), (128, 128)]


def test_files_and_revisions_do_not_share_blocks(file: Path) -> None:
    cache, raster = BlockCache(100 * BLOCK_BYTES), counted(file)
    for name in (("a", ""), ("b", ""), ("a", "2")):
        cache.fetch(name, raster, blocks(raster, (0, 0)))
    assert len(raster.fetched) == 3


def test_blocks_that_were_used_last_are_kept(file: Path) -> None:
    cache, raster = BlockCache(2 * BLOCK_BYTES), counted(file)
    for index in ((0, 0), (0, 1), (0, 0), (0, 2), (0, 0), (0, 1)):
        cache.fetch(("a", ""), raster, blocks(raster, index))
    assert raster.fetched == [(0, 0), (0, 1), (0, 2), (0, 1)]


def test_a_failed_block_is_fetched_again(file: Path) -> None:
    cache, raster = BlockCache(100 * BLOCK_BYTES), counted(file)
    raster.failures = 1
    with pytest.raises(SceneError, match="damaged"):
        cache.fetch(("a", ""), raster, blocks(raster, (0, 0), (0, 1)))
    assert len(values(cache.fetch(("a", ""), raster, blocks(raster, (0, 0), (0, 1))))) == 2


def test_threads_decode_each_block_once(file: Path) -> None:
    cache, raster, together = BlockCache(100 * BLOCK_BYTES), counted(file), Barrier(4)
    everything = [(row, column) for row in range(3) for column in range(3)]

    def read(first: int) -> int:
        together.wait()
        order = everything[first:] + everything[:first]
        return sum(len(values(cache.fetch(("a", ""), raster, blocks(raster, *order[:5])))) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(0, 8, 2))) == [100] * 4
    assert len(raster.fetched) == len(set(raster.fetched)) == 9


def test_windows_that_gdal_decodes_are_not_kept(file: Path) -> None:
    cache, raster = BlockCache(100 * BLOCK_BYTES), counted(file, "gdal")
    for _ in range(2):
        cache.fetch(("a", ""), raster, blocks(raster, (0, 0)))
    assert raster.fetched == [(0, 0)] * 2
