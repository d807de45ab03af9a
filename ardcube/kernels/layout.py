"""Constants of array layouts that compiled loops share with their callers."""

from __future__ import annotations

LANES = 4
"""Bands that are resampled together: as many as share one vector register."""


HOLE_CELL = 32
"""Side, in pixels, of the cells of which it is known whether data is missing in them; a power of two."""


HOLE_BITS = HOLE_CELL.bit_length() - 1
"""Of the place of a pixel within its cell: shifting is several times faster than dividing."""
