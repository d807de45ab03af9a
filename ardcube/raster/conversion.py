"""Convert digital numbers of a file into those of a cube, exactly (pure).

The kernels read unsigned numbers. Those of a signed file are read with a bias, so that their order is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ardcube.config.encoding import LEAST, MOST, CubeEncoding, decimal

BIAS = {"int16": 32768}
"""Added to the digital numbers of a signed file, by data type; -32768 becomes 0, which is no data."""
_NUMBERS = 65536
_SAFE = 2**62
"""Integers up to which 64 bits hold a product."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Number of the cube for a number of a file, as it is read: `(number * numerator + constant) / denominator`.

    The quotient is rounded half to even and clipped to `low` and `high`. Integers, so that a tie is one.
    """

    numerator: int
    constant: int
    denominator: int
    low: int
    high: int

    def table(self) -> NDArray[np.uint16]:
        """Return the number of the cube for each number of a file, uint16 (65536,); 0 stays 0."""
        return _table(self)


@lru_cache(maxsize=256)
def conversion_of(scale: float, offset: float, dtype: str, cube: CubeEncoding) -> tuple[float, Conversion | None]:
    """Return how numbers of a file become those of a cube: a shift, or else a conversion.

    Parameters
    ----------
    scale, offset : float
        Encoding of the file.
    dtype : str
        Data type of the file.
    cube : CubeEncoding
        Encoding of the cube.

    Returns
    -------
    shift : float
        Is added, and the sum is clipped to 1..65535; rounded to 0.001.
    conversion : Conversion or None
        None if the shift gives the same numbers.
    """
    theirs, ours = decimal(scale), decimal(cube.scale)
    factor = theirs / ours
    constant = (decimal(offset) - BIAS.get(dtype, 0) * theirs - decimal(cube.offset)) / ours
    largest = np.iinfo(dtype).max + BIAS.get(dtype, 0)
    clipped_alike = cube.low == LEAST and (cube.high == MOST or largest + constant <= cube.high)
    if factor == 1 and clipped_alike and (constant * 1000).denominator == 1:
        return float(constant), None
    together = math.lcm(factor.denominator, constant.denominator)
    return 0.0, Conversion(int(factor * together), int(constant * together), together, cube.low, cube.high)


@lru_cache(maxsize=64)
def _table(by: Conversion) -> NDArray[np.uint16]:
    reach = _NUMBERS * abs(by.numerator) + abs(by.constant) + by.denominator
    numbers = np.arange(_NUMBERS, dtype=np.int64 if 2 * reach < _SAFE else object)
    dividend = numbers * by.numerator + by.constant
    quotient = dividend // by.denominator
    rest = dividend - quotient * by.denominator
    up = (2 * rest > by.denominator) | ((2 * rest == by.denominator) & (quotient % 2 == 1))
    table: NDArray[np.uint16] = np.clip(quotient + up, by.low, by.high).astype(np.uint16)
    table[0] = 0
    table.flags.writeable = False
    return table


def dtype_as_read(dtype: str) -> str:
    """Return the data type of a file's digital numbers as they are read: unsigned."""
    return f"u{dtype}" if dtype in BIAS else dtype
