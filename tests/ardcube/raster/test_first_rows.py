"""Of a block whose last rows are not needed, the first bytes are fetched, and all needed pixels are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ardcube.errors import SceneError
from ardcube.raster.cog import Cog
from ardcube.raster.decode import Encoding, SourcePixels
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


def test_a_damaged_block_is_a_permanent_error_also_if_its_first_rows_are_needed_alone(tmp_path: Path) -> None:
    file = damage(write_cog(tmp_path / "red.tif", pixels(256, 255)))
    cog = Cog.open(str(file))
    with pytest.raises(SceneError, match="has a damaged block 0, 0"):
        read(cog, blocks_of(cog, 0, 30, 0, 100))
