"""Decoded windows: their pixels, and the cells with missing data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.errors import TransientError
from ardcube.kernels.layout import HOLE_CELL, LANES
from ardcube.raster.decode import DecodedBlock, Encoding, SourcePixels
from tests.raster_blocks import DecodedBand, cut, one_block
from tests.strategies import FEW, RANDOM


@FEW
@given(data=st.data(), rng=RANDOM, count=st.integers(1, LANES), dtype=st.sampled_from([np.uint8, np.uint16]))
def test_a_window_has_the_pixels_of_the_raster_for_any_blocks(
    data: st.DataObject, rng: np.random.Generator, count: int, dtype: type
) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    raster = rng.integers(0, np.iinfo(dtype).max, (height, width, count), dtype, endpoint=True)
    block = data.draw(st.tuples(st.integers(1, 17), st.integers(1, 17)))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, cols = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    # Files of one scene may be written by different programs.
    predicted = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    bands = [DecodedBand(cut(raster[..., band], block, predicted[band])) for band in range(count)]
    window = one_block(top, left, rows, cols)
    found = SourcePixels.decode(bands, window, np.dtype(dtype).name, Encoding(0))
    expected = raster[top : top + rows, left : left + cols]
    np.testing.assert_array_equal(found.values[..., :count], expected)
    assert found.values.shape[2] in (1, LANES)
    for lane in range(count, found.values.shape[2]):
        np.testing.assert_array_equal(found.values[..., lane], expected[..., 0])


@FEW
@given(
    rng=RANDOM,
    data=st.data(),
    nodata=st.sampled_from([0, 7, 65535, 70000]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_a_cell_has_a_hole_if_and_only_if_data_is_missing_in_it(
    rng: np.random.Generator, data: st.DataObject, nodata: int, dtype: type
) -> None:
    shape = data.draw(st.tuples(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, LANES])))
    values = rng.integers(8, 250, shape).astype(dtype)
    where = rng.integers(0, shape, (data.draw(st.integers(0, 2)), 3))
    for row, column, lane in where:
        values[row, column, lane] = data.draw(st.sampled_from([0, min(nodata, np.iinfo(dtype).max)]))
    block = data.draw(st.tuples(st.integers(1, 70), st.integers(1, 150)))
    bands = [DecodedBand(cut(values[..., lane], block, data.draw(st.booleans()))) for lane in range(shape[2])]
    top, left = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    window = one_block(top, left, shape[0] - top, shape[1] - left)
    found = SourcePixels.decode(bands, window, np.dtype(dtype).name, Encoding(nodata)).holes
    part = values[top:, left:]
    missing = ((part == 0) | (part == nodata)).any(axis=2)
    for row, column in np.ndindex(found.shape):
        cell = missing[row * HOLE_CELL : (row + 1) * HOLE_CELL, column * HOLE_CELL : (column + 1) * HOLE_CELL]
        assert found[row, column] == cell.any()


@pytest.mark.parametrize(
    "odd",
    [np.ones((9, 9), np.uint16), np.ones((8, 9), np.uint8), np.ones((9, 8), np.uint8)],
    ids=["type", "rows", "columns"],
)
@pytest.mark.parametrize("band", [0, 1])
def test_blocks_that_contradict_the_header_are_a_transient_error(odd: NDArray[Any], band: int) -> None:
    values = [np.ones((9, 9), np.uint8)] * 2
    values[band] = odd
    window = one_block(0, 0, 9, 9)
    with pytest.raises(TransientError):
        SourcePixels.decode([DecodedBand([DecodedBlock(0, 0, each)]) for each in values], window, "uint8", Encoding(0))
