"""Constants of array layouts that compiled loops share with their callers."""

from __future__ import annotations

LANES = 4
"""Number of bands that are resampled together: the float64 numbers of one SIMD register."""

HOLE_CELL = 32
"""Side, in pixels, of the square cells for which `holes` records missing data; a power of two."""

HOLE_BITS = HOLE_CELL.bit_length() - 1
"""Bits of a pixel's index within its cell. A shift is several times faster than a division."""
