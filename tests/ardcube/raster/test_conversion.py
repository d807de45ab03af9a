"""Conversion of digital numbers of files into those of a cube: exact, rounded half to even, clipped."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.config.encoding import CubeEncoding
from ardcube.raster.conversion import BIAS, conversion_of
from tests.strategies import FEW

pytestmark = pytest.mark.unit

SCALES = st.sampled_from([0.0001, 2.75e-5, 0.00002, 0.004, 1 / 65535, 0.000102, 1e-6])
OFFSETS = st.sampled_from([0.0, -0.1, -0.2, -0.9999, 0.00005, -0.09995, 0.123456789, -1 / 3])


def numbers_in_the_cube(scale: float, offset: float, dtype: str, cube: CubeEncoding) -> np.ndarray[Any, Any]:
    """Return the number of the cube for each number of a file but the first, by the program."""
    shift, conversion = conversion_of(scale, offset, dtype, cube)
    as_read = np.arange(1, np.iinfo(dtype).max + BIAS.get(dtype, 0) + 1)
    if conversion is None:
        return np.clip(np.rint(as_read + shift), 1, 65535).astype(int)  # as the kernels do
    assert conversion.table()[0] == 0
    return conversion.table()[as_read].astype(int)


def right(number: int, scale: float, offset: float, cube: CubeEncoding) -> int:
    """Return the number of the cube for one number of a file, in fractions, whose `round` goes to even."""
    theirs, their_offset, ours, our_offset = (Fraction(repr(x)) for x in (scale, offset, cube.scale, cube.offset))
    return min(max(round((number * theirs + their_offset - our_offset) / ours), cube.low), cube.high)


@FEW
@given(
    scale=SCALES,
    offset=OFFSETS,
    dtype=st.sampled_from(["uint8", "uint16", "int16"]),
    cube=st.builds(
        CubeEncoding, SCALES, OFFSETS, st.sampled_from([1, 77]), st.sampled_from([65535, 42766, 10000])
    ),
)  # fmt: skip
def test_every_number_is_converted_exactly(scale: float, offset: float, dtype: str, cube: CubeEncoding) -> None:
    found = numbers_in_the_cube(scale, offset, dtype, cube)
    first = 1 - BIAS.get(dtype, 0)
    for position in range(0, len(found), 97):
        assert found[position] == right(first + position, scale, offset, cube), first + position
    assert found.min() >= cube.low
    assert found.max() <= cube.high


@pytest.mark.parametrize(
    ("scale", "offset", "dtype", "cube", "shift"),
    [
        (0.0001, -0.1, "uint16", CubeEncoding(offset=-0.1), 0.0),
        (0.0001, 0.0, "uint16", CubeEncoding(offset=-0.1), 1000.0),
        (0.0001, -0.09995, "uint16", CubeEncoding(offset=-0.1), 0.5),
        (2.75e-5, -0.2, "uint16", CubeEncoding(2.75e-5, -0.2), 0.0),
        (0.0001, 0.0, "int16", CubeEncoding(0.0001, -0.9999, 1, 42766), -22769.0),
        (0.0001, 0.0, "uint8", CubeEncoding(0.0001, 0.0, 1, 255), 0.0),
    ],
)
def test_files_of_the_cubes_scale_are_shifted(
    scale: float, offset: float, dtype: str, cube: CubeEncoding, shift: float
) -> None:
    assert conversion_of(scale, offset, dtype, cube) == (shift, None)


@pytest.mark.parametrize(
    ("scale", "dtype", "cube"),
    [
        (2.75e-5, "uint16", CubeEncoding()),
        (0.0001, "int16", CubeEncoding(0.0001, -0.2001, 1, 18001)),  # numbers above the valid range are clipped
        (0.0001, "uint16", CubeEncoding(0.0001, 0.0, 100)),
        (0.0001, "uint16", CubeEncoding(0.0001, 1e-9)),
    ],
)
def test_other_files_are_converted_by_a_table(scale: float, dtype: str, cube: CubeEncoding) -> None:
    assert conversion_of(scale, 0.0, dtype, cube)[1] is not None


def test_a_tie_goes_to_the_even_number() -> None:
    """0.275 numbers of the cube for one of the file, which no binary number is: 100 is 27.5, and 300 is 82.5."""
    _, conversion = conversion_of(2.75e-5, 0.0, "uint16", CubeEncoding())
    assert conversion is not None
    assert conversion.table()[[100, 300, 1, 2, 65535]].tolist() == [28, 82, 1, 1, 18022]
