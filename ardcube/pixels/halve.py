"""Halve the resolution of an array: levels of a pyramid, overviews of a file (pure).

A pixel of the result covers 2 x 2 pixels, fewer at an odd edge: n pixels become ceil(n / 2). The result for a block of
rows and columns that begins at even ones depends on that block alone, so an array can be halved in parts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_INTEGER = 4
"""Bytes of the largest integers whose sums are exact in float64."""


def halve_mean(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Average the valid pixels of each block of 2 x 2.

    Parameters
    ----------
    values : array (y, x)
        Integers of at most 32 bits, or floats. NaN is never valid.
    nodata : float, optional
        Number of pixels that do not count; None or NaN if all numbers count.

    Returns
    -------
    array (ceil(y / 2), ceil(x / 2))
        Of the same type; means of integers are rounded half to even. `nodata` where no pixel is valid.

    Raises
    ------
    TypeError
        If the values are of another type.
    """
    from ardcube.kernels.halve import halve_floats, halve_integers  # numba takes a second to import

    out = np.empty(_half(values.shape), values.dtype)
    absent = math.nan if nodata is None else float(nodata)
    if values.dtype.kind == "f":
        halve_floats(values, absent, absent, out)
    elif values.dtype.kind in "iu" and values.dtype.itemsize <= _LARGEST_INTEGER:
        halve_integers(values, absent, 0.0 if math.isnan(absent) else absent, out)
    else:
        raise TypeError(f"{values.dtype} has no mean; use the nearest pixel")
    return out


def halve_nearest(values: NDArray[Any]) -> NDArray[Any]:
    """Return the first pixel of each block of 2 x 2: categories and counts, of which no mean exists."""
    return values[::2, ::2]


def _half(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape
    return -(-height // 2), -(-width // 2)
