"""Signed files: their numbers have a bias, negative numbers and 0 are data, nodata of file and item count."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.kernels.layout import HOLE_CELL, LANES
from ardcube.raster.cog import Cog
from ardcube.raster.conversion import BIAS
from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.header import stated_nodata, usable_nodata
from ardcube.raster.open import open_raster
from tests.raster_blocks import DecodedBand, cut, one_block
from tests.rasters import around, pixels, write, write_jpeg_2000, write_sparse
from tests.strategies import FEW, RANDOM

Reader = Literal["auto", "gdal"]
READERS: tuple[Reader, ...] = ("auto", "gdal")


def stored(source: SourcePixels, lane: int = 0) -> NDArray[np.int64]:
    """Return the numbers of the file, -32768 where there is no data."""
    values = source.values[..., lane].astype(np.int64)
    return np.where(values == source.encoding.nodata, 0, values) - BIAS["int16"]


def read(raster: Any, stated: int | None = None, index: int = 0) -> NDArray[np.int64]:
    """Read a level of a file as a chunk does."""
    header = raster.header
    level = header.levels[index]
    blocks = around(level, np.ones(level.block_grid, bool))
    encoding = Encoding.of(header.nodata, stated, dtype=header.dtype)
    return stored(SourcePixels.decode([raster.fetch(blocks)], blocks, header.dtype, encoding))


@FEW
@given(data=st.data(), rng=RANDOM, count=st.integers(1, LANES))
def test_a_window_has_the_numbers_of_the_raster_for_any_blocks(
    data: st.DataObject, rng: np.random.Generator, count: int
) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    raster = rng.integers(-32768, 32767, (height, width, count), np.int16, endpoint=True)
    raster[rng.random(raster.shape) < 0.1] = -9999
    block = data.draw(st.tuples(st.integers(1, 17), st.integers(1, 17)))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    predicted = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    bands = [DecodedBand(cut(raster[..., band], block, predicted[band])) for band in range(count)]
    window = one_block(top, left, height - top, width - left)
    found = SourcePixels.decode(bands, window, "int16", Encoding.of(-9999, None, dtype="int16"))
    assert found.values.dtype == np.uint16
    expected = raster[top:, left:].astype(np.int64)
    missing = np.isin(expected, (-9999, -32768))
    for band in range(count):
        np.testing.assert_array_equal(stored(found, band), np.where(missing[..., band], -32768, expected[..., band]))
    for row, column in np.ndindex(found.holes.shape):
        rows, columns = (slice(at * HOLE_CELL, (at + 1) * HOLE_CELL) for at in (row, column))
        assert found.holes[row, column] == missing[rows, columns].any()


@pytest.mark.parametrize(
    ("declared", "stated", "missing"),
    [
        (-9999, None, {-9999}),
        (-9999, -9999, {-9999}),
        (-9999, -32768, {-9999}),
        (-9999, 0, {-9999, 0}),
        (-9999, -1000, {-9999, -1000}),
        (-32768, None, set()),
        (None, -9999, {-9999, 0}),  # 0 may be a block that was never written
        (None, None, {0}),
        (0, None, {0}),
    ],
)
@pytest.mark.parametrize("predicted", [False, True])
def test_nodata_of_the_file_and_of_the_item_both_count(
    declared: int | None, stated: int | None, missing: set[int], predicted: bool
) -> None:
    numbers = np.array([[0, -9999, 8, -32768, -1000, 32767, 0, -1]] * 8, np.int16)
    band = DecodedBand(cut(numbers, (8, 8), predicted))
    encoding = Encoding.of(declared, stated, dtype="int16")
    found = SourcePixels.decode([band], one_block(0, 0, 8, 8), "int16", encoding)
    values = found.values[..., 0]
    valid = (values != 0) & (values != found.encoding.nodata)
    np.testing.assert_array_equal(valid, ~np.isin(numbers, [*missing, -32768]))
    np.testing.assert_array_equal(values[valid].astype(int) - 32768, numbers[valid])


@pytest.mark.parametrize(("number", "dtype", "usable"), [
    (-9999, "int16", -9999), (-9999, "uint16", None), (-32769, "int16", None), (65535, "int16", None), (0, "int16", 0),
    (-0.5, "int16", None), (float("nan"), "int16", None),
])  # fmt: skip
def test_only_a_signed_file_can_declare_a_negative_number(number: float, dtype: str, usable: int | None) -> None:
    assert usable_nodata(number, dtype) == usable


def test_a_negative_number_that_an_item_states_says_nothing_about_unsigned_files() -> None:
    assert [stated_nodata(-9999, dtype) for dtype in ("uint8", "uint16", "int16")] == [None, None, -9999]
    assert stated_nodata(65535, "uint16") == 65535
    assert Encoding.of(None, -9999, dtype="uint16") == Encoding(0)
    assert Encoding.of(255, -9999, dtype="uint8") == Encoding(255)


@pytest.mark.parametrize("reader", READERS)
def test_negative_numbers_and_0_of_a_file_are_read(tmp_path: Path, reader: Reader) -> None:
    numbers = pixels(dtype="int16")
    numbers[5:9] = -9999
    file = write(tmp_path / "red.tif", numbers, nodata=-9999)
    raster = open_raster(str(file), "", "unsigned", reader)
    assert isinstance(raster, Cog if reader == "auto" else GdalRaster)
    assert (raster.header.dtype, raster.header.nodata) == ("int16", -9999)
    np.testing.assert_array_equal(read(raster), np.where(numbers == -9999, -32768, numbers))


@pytest.mark.parametrize("reader", READERS)
def test_nodata_does_not_leak_from_an_overview(tmp_path: Path, reader: Reader) -> None:
    """GDAL's overviews leave out the nodata that the file declares: none has a mean of -9999 and data."""
    numbers = np.full((256, 256), 2000, np.int16)
    numbers[::2, ::3] = -9999
    declared = open_raster(str(write(tmp_path / "a.tif", numbers, nodata=-9999)), "", "unsigned", reader)
    assert set(np.unique(read(declared, index=1))) == {2000}
    undeclared = open_raster(str(write(tmp_path / "b.tif", numbers)), "", "unsigned", reader)
    assert -1000 in read(undeclared, -9999, index=1)  # a mean of both, so that this level is not read


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("nodata", [None, -9999])
def test_a_block_that_was_never_written_is_no_data(tmp_path: Path, reader: Reader, nodata: int | None) -> None:
    numbers = pixels(dtype="int16")
    file = write_sparse(tmp_path / "red.tif", numbers, nodata=nodata)
    found = read(open_raster(str(file), "", "unsigned", reader))
    expected = np.full(numbers.shape, -32768, np.int64)
    expected[128:256, :128] = numbers[128:256, :128]
    np.testing.assert_array_equal(found, np.where(expected == (nodata or 0), -32768, expected))


@pytest.mark.parametrize("reader", READERS)
def test_masked_pixels_of_a_signed_file_are_no_data(tmp_path: Path, reader: Reader) -> None:
    numbers, valid = pixels(dtype="int16"), np.ones((301, 255), bool)
    numbers[numbers == 0] = -5
    valid[100:, :50] = False
    file = write(tmp_path / "red.tif", numbers, overviews=False)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(file, "r+") as target:
        target.write_mask(valid)
    found = read(open_raster(str(file), "", "unsigned", reader))
    np.testing.assert_array_equal(found, np.where(valid, numbers, -32768))


def test_a_signed_jpeg_2000_file_is_read(tmp_path: Path) -> None:
    numbers = pixels(dtype="int16")
    raster = open_raster(str(write_jpeg_2000(tmp_path / "red.jp2", numbers)), "", "unsigned")
    assert raster.header.dtype == "int16"
    np.testing.assert_array_equal(read(raster), np.where(numbers == 0, -32768, numbers))


@pytest.mark.parametrize("reader", READERS)
def test_an_overview_of_another_sign_is_refused(tmp_path: Path, reader: Reader) -> None:
    from ardcube.errors import SceneError
    from ardcube.raster.tiff import Tag
    from tests.rasters import retag

    file = retag(write(tmp_path / "odd.tif", pixels(dtype="int16")), directory=1, tag=Tag.SAMPLE_FORMAT, value=1)
    with pytest.raises(SceneError, match="holds int16, and uint16 in an overview"):
        open_raster(str(file), "", "unsigned", reader)
