"""Masks of pixels as bits, eight of a row to a byte: of a hundred days there may be many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]
"""(y, x / 8), the first pixel highest; bits beyond the last pixel are 0."""


def none_set(days: int, height: int, width: int) -> Bits:
    """Bits of several days that are all 0, (day, y, x / 8)."""
    return np.zeros((days, height, -(-width // 8)), np.uint8)


def packed(mask: NDArray[np.bool_]) -> Bits:
    """Bool (y, x) as bits."""
    return np.packbits(mask, axis=1)


def unpacked(bits: Bits, width: int) -> NDArray[np.bool_]:
    """Bits as bool (y, x)."""
    mask: NDArray[np.bool_] = np.unpackbits(bits, axis=1, count=width).view(bool)
    return mask
