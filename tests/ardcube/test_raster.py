"""What a file says of itself: which level a cube reads, and the window around the blocks it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ardcube.raster import Blocks, Level, usable_nodata
from ardcube.reader import open_raster
from tests.oracle import resampling as oracle
from tests.rasters import pixels, write
from tests.strategies import FEW


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("raster") / "red.tif", pixels())


def test_a_header_tells_the_true_ratio_of_every_overview(raster: Path) -> None:
    header = open_raster(str(raster), "", "unsigned").header
    assert [(level.height, level.width) for level in header.levels] == [(301, 255), (151, 128), (76, 64), (38, 32)]
    for level in header.levels:
        right, bottom = level.transform @ (level.width, level.height)
        assert (right, bottom) == pytest.approx((499_980 + 2550, 5_100_000 - 3010))
    assert (header.crs, header.dtype, header.nodata) == ("EPSG:32633", "uint16", 0)


@pytest.mark.parametrize("reader", ["auto", "gdal"])
@pytest.mark.parametrize(
    "resolution", [0.00001, 0.0001, 1 / 3600, 0.0002, 0.00021, 0.00022, 0.0004, 0.00043, 0.0008, 0.00086, 0.05]
)
def test_the_level_is_the_coarsest_that_is_not_coarser_than_the_output(
    raster: Path, resolution: float, reader: str
) -> None:
    chosen = open_raster(str(raster), "", "unsigned", reader).header.level_for(resolution)  # type: ignore[arg-type]
    expected = oracle.read_level(str(raster), resolution)
    assert (chosen.height, chosen.width) == expected.pixels.shape
    assert tuple(chosen.transform) == pytest.approx(tuple(expected.transform))


@pytest.mark.parametrize(
    ("declared", "dtype", "usable"),
    [
        (None, "uint16", 0),
        (0.0, "uint16", 0),
        (65535.0, "uint16", 65535),
        (255.0, "uint8", 255),
        (256.0, "uint8", 0),
        (-9999.0, "uint16", 0),
        (0.5, "uint16", 0),
        (float("nan"), "uint16", 0),
        (float("inf"), "uint16", 0),
    ],
)
def test_a_nodata_value_that_pixels_cannot_hold_is_none(declared: float | None, dtype: str, usable: int) -> None:
    assert usable_nodata(declared, dtype) == usable


@FEW
@given(
    needed=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)),
    block=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    data=st.data(),
)
def test_the_window_is_the_least_that_bounds_the_needed_blocks(
    needed: NDArray[np.bool_], block: tuple[int, int], data: st.DataObject
) -> None:
    rows, columns = needed.shape
    height = (rows - 1) * block[0] + data.draw(st.integers(1, block[0]))
    width = (columns - 1) * block[1] + data.draw(st.integers(1, block[1]))
    level = Level(0, height, width, Affine.identity(), block)
    assert level.blocks == needed.shape
    blocks = Blocks.of(level, needed)
    if blocks is None:
        assert not needed.any()
        return
    mask = np.repeat(np.repeat(needed, block[0], axis=0), block[1], axis=1)[:height, :width]
    inside = np.zeros((height, width), bool)
    inside[blocks.row : blocks.row + blocks.height, blocks.column : blocks.column + blocks.width] = True
    assert inside.sum() == blocks.height * blocks.width
    assert not (mask & ~inside).any()
    part = mask[inside].reshape(blocks.height, blocks.width)
    assert part[0].any()
    assert part[-1].any()
    assert part[:, 0].any()
    assert part[:, -1].any()
