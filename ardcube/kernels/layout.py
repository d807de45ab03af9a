"""Constants of array layouts that compiled loops share with their callers."""

from __future__ import annotations

import numpy as np

LANES = 4
"""Number of bands that are resampled together: the float64 numbers of one SIMD register."""

HOLE_CELL = 32
"""Side, in pixels, of the square cells for which `holes` records missing data; a power of two."""

HOLE_BITS = HOLE_CELL.bit_length() - 1
"""Bits of a pixel's index within its cell. A shift is several times faster than a division."""

FLAGS_TO_BITS = np.uint64(0x8040201008040201)
"""Factor that gathers eight bytes of 0 or 1, read as a little-endian integer, into the bits of the highest byte.

The first byte becomes the highest bit."""
