"""Of a block whose last rows are not needed, the first bytes are fetched, and all needed pixels are read."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import igzip_lib
from numpy.typing import NDArray

from ardcube.errors import SceneError
from ardcube.raster.cog import Cog
from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.first_rows import bytes_of_rows, inflate_first, needed_rows
from ardcube.raster.header import Blocks
from tests.rasters import damage, pixels, write_cog
from tests.servers.range_server import RangeServer

ROWS = 128


def blocks_of(cog: Cog, row: int, height: int, column: int = 20, width: int = 200) -> Blocks:
    """Return the window of some rows, and its blocks."""
    level = cog.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[row // ROWS : (row + height - 1) // ROWS + 1, column // ROWS : (column + width - 1) // ROWS + 1] = True
    return Blocks(level, needed, row, column, height, width)


def read(cog: Cog, blocks: Blocks) -> NDArray[Any]:
    band = cog.fetch(blocks)
    return SourcePixels.decode([band], blocks, cog.header.dtype, Encoding(0)).values[..., 0]


@pytest.mark.parametrize("compress", ["deflate", "none"])
@pytest.mark.parametrize(("row", "height"), [(0, 1), (5, 20), (100, 60), (130, 125), (0, 384), (300, 1)])
def test_needed_pixels_are_read_from_the_first_bytes(compress: str, row: int, height: int, tmp_path: Path) -> None:
    values = pixels(384, 255)
    options = {} if compress == "deflate" else {"compress": "none", "predictor": "no"}
    cog = Cog.open(str(write_cog(tmp_path / "red.tif", values, **options)))
    blocks = blocks_of(cog, row, height)
    np.testing.assert_array_equal(read(cog, blocks), values[row : row + height, 20:220])
    whole = sum(int(cog.layout[0].sizes[index]) for index in blocks.indices)
    last = (row + height - 1) % ROWS + 1
    assert (cog.fetch(blocks).size < whole) == (last < 100)


@pytest.mark.parametrize(("last", "rows"), [(1, 1), (64, 64), (111, 111), (112, ROWS), (128, ROWS)])
def test_all_rows_are_read_if_nearly_all_are_needed(last: int, rows: int, tmp_path: Path) -> None:
    values = pixels(256, 255)
    cog = Cog.open(str(write_cog(tmp_path / "red.tif", values)))
    blocks = blocks_of(cog, 5, ROWS + last - 5)
    assert (needed_rows(blocks, 0), needed_rows(blocks, 1)) == (ROWS, rows)
    assert {block.values.shape[0] for block in cog.fetch(blocks).decode()} == {ROWS, rows}
    np.testing.assert_array_equal(read(cog, blocks), values[5 : ROWS + last, 20:220])


def test_first_rows_alone_are_decoded_also_if_a_gap_brought_the_whole_block(tmp_path: Path) -> None:
    """Blocks of a row follow each other, so the rest of all but the last is a gap within one request."""
    values = pixels(256, 255)
    file = write_cog(tmp_path / "red.tif", values)
    cog = Cog.open(str(file))
    blocks, sizes = blocks_of(cog, 0, 30), cog.layout[0].sizes
    band = cog.fetch(blocks)
    assert len(band.contents[0, 0]) == sizes[0, 0]
    assert len(band.contents[0, 1]) < sizes[0, 1]
    assert [block.values.shape for block in band.decode()] == [(30, ROWS)] * 2
    np.testing.assert_array_equal(read(cog, blocks), values[:30, 20:220])


@given(st.binary(max_size=3000), st.integers(1, 9), st.data())
def test_the_first_bytes_of_a_stream_are_inflated_from_its_parts(block: bytes, level: int, data: st.DataObject) -> None:
    block *= 20  # so that matches cross the end of the needed bytes
    stream = zlib.compress(block, level)
    length = data.draw(st.integers(1, len(block) + 5))
    known = data.draw(st.integers(0, len(stream)))
    asked = []

    def rest() -> bytes:
        asked.append(known)
        return stream[known:]

    assert inflate_first(memoryview(stream)[:known], length, rest) == block[:length]
    assert len(asked) <= 1


def test_a_stream_that_is_damaged_before_the_needed_bytes_is_an_error() -> None:
    stream = bytearray(zlib.compress(np.random.default_rng(0).bytes(3000), 6))
    stream[0] ^= 0xFF
    with pytest.raises(igzip_lib.error):
        inflate_first(bytes(stream), 2000, lambda: b"")


@given(st.integers(1, 3_000_000), st.integers(1, 1024))
def test_the_fetched_bytes_are_some_more_than_the_share_of_the_rows(size: int, rows: int) -> None:
    fetched = bytes_of_rows(size, rows, 1024)
    assert size * rows / 1024 <= fetched <= size
    assert fetched <= size * rows / 1024 * 1.15 + 4097


def test_rows_that_take_more_bytes_than_others_cost_a_further_request(tmp_path: Path) -> None:
    values = np.ones((256, 256), np.uint16)
    values[:64] = np.random.default_rng(1).integers(1, 60_000, (64, 256))
    write_cog(tmp_path / "red.tif", values, nodata=0)
    with RangeServer(tmp_path) as server:
        cog = Cog.open(f"{server.url}/red.tif")
        server.reset()
        np.testing.assert_array_equal(read(cog, blocks_of(cog, 0, 60, 0, 120)), values[:60, :120])
        assert len(server.requests) == 2
        server.reset()
        np.testing.assert_array_equal(read(cog, blocks_of(cog, 0, 128, 0, 120)), values[:128, :120])
        assert len(server.requests) == 1


@pytest.mark.parametrize("height", [10, 50])
def test_the_bytes_of_a_block_at_the_lower_edge_are_those_of_the_rows_inside_of_the_raster(
    height: int, tmp_path: Path
) -> None:
    """Rows below the edge take no bytes: as a share of all rows of the block, too few would be fetched."""
    values = pixels(ROWS + 60, 255)
    write_cog(tmp_path / "red.tif", values)
    with RangeServer(tmp_path) as server:
        cog = Cog.open(f"{server.url}/red.tif")
        server.reset()
        blocks = blocks_of(cog, ROWS, height)
        np.testing.assert_array_equal(read(cog, blocks), values[ROWS : ROWS + height, 20:220])
        assert len(server.requests) == 1
        fetched, whole = server.requests[0].sent, int(cog.layout[0].sizes[1].sum())
    assert (fetched < whole) == (height < 50)


def test_a_damaged_block_is_a_permanent_error_also_if_its_first_rows_are_needed_alone(tmp_path: Path) -> None:
    file = damage(write_cog(tmp_path / "red.tif", pixels(256, 255)))
    cog = Cog.open(str(file))
    with pytest.raises(SceneError, match="has a damaged block 0, 0"):
        read(cog, blocks_of(cog, 0, 30, 0, 100))
