"""Headers: exact overview ratios, the usable nodata value, and the needed blocks of a level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from ardcube.raster.header import Blocks, Level, usable_nodata
from ardcube.raster.open import open_raster
from tests.rasters import pixels, write


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("raster") / "red.tif", pixels())


def test_a_header_has_the_exact_ratio_of_every_overview(raster: Path) -> None:
    header = open_raster(str(raster), "", "unsigned").header
    assert [(level.height, level.width) for level in header.levels] == [(301, 255), (151, 128), (76, 64), (38, 32)]
    for level in header.levels:
        right, bottom = level.transform @ (level.width, level.height)
        assert (right, bottom) == pytest.approx((499_980 + 2550, 5_100_000 - 3010))
    assert (header.crs, header.dtype, header.nodata) == ("EPSG:32633", "uint16", None)


@pytest.mark.parametrize(
    ("declared", "dtype", "usable"),
    [
        (None, "uint16", None),
        (0.0, "uint16", 0),
        (65535.0, "uint16", 65535),
        (255.0, "uint8", 255),
        (256.0, "uint8", None),
        (-9999.0, "uint16", None),
        (0.5, "uint16", None),
        (float("nan"), "uint16", None),
        (float("inf"), "uint16", None),
    ],
)
def test_a_nodata_value_outside_of_the_data_type_is_ignored(
    declared: float | None, dtype: str, usable: int | None
) -> None:
    assert usable_nodata(declared, dtype) == usable


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        ([(1, 1)], True),
        ([(1, 1), (1, 2), (2, 1), (2, 2)], True),
        ([(1, 1), (2, 2)], False),
        ([(0, 0), (0, 2)], False),
        ([], False),
    ],
)
def test_all_blocks_are_needed_if_none_is_missing_between_the_needed_rows_and_columns(
    needed: list[tuple[int, int]], expected: bool
) -> None:
    blocks = np.zeros((4, 4), bool)
    for index in needed:
        blocks[index] = True
    level = Level(0, 40, 40, Affine.identity(), (10, 10))
    assert Blocks(level, blocks, 0, 0, 40, 40).all_needed is expected
