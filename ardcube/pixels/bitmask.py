"""Masks of pixels as bits, eight pixels of a row to a byte, because a chunk may hold masks of a hundred days."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]
"""(y, x / 8). The first pixel is the highest bit of a byte; bits after the last pixel are 0."""


def none_set(days: int, height: int, width: int) -> Bits:
    """Return the bits of several days, (day, y, x / 8), all 0."""
    return np.zeros((days, height, -(-width // 8)), np.uint8)


def packed(mask: NDArray[np.bool_]) -> Bits:
    """Pack bool (y, x), or (band, y, x), into bits."""
    return np.packbits(mask, axis=-1)


def unpacked(bits: Bits, width: int) -> NDArray[np.bool_]:
    """Unpack bits to bool (y, x), or (band, y, x)."""
    mask: NDArray[np.bool_] = np.unpackbits(bits, axis=-1, count=width).view(bool)
    return mask
