"""Constants and array layouts that compiled loops share with their callers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LANES = 4
"""Number of bands that are resampled together: the float64 numbers of one SIMD register."""

HOLE_CELL = 32
"""Side, in pixels, of the square cells for which `holes` records missing data; a power of two."""

HOLE_BITS = HOLE_CELL.bit_length() - 1
"""Bits of a pixel's index within its cell. A shift is several times faster than a division."""

FLAGS_TO_BITS = np.uint64(0x8040201008040201)
"""Factor that gathers eight bytes of 0 or 1, read as a little-endian integer, into the bits of the highest byte.

The first byte becomes the highest bit."""

EDGE = 1e-6
"""Source pixels before the edge of a pixel at which a coordinate is on that edge.

A coordinate on the edge of two pixels belongs to the one with the greater index. Where the pixels of source and cube
have a whole ratio, many coordinates are on edges, and rounding errors alone would decide. Those are up to 1e-9 of a
pixel, as are the errors of interpolated coordinates. Sizes of pixels that are stored with 13 digits add 1e-8. No pixel
is visibly moved: the contract allows errors of 0.01 of a pixel."""


class Nodes(NamedTuple):
    """Coordinates of pixels in a source CRS, as compiled loops compute them from global indices.

    They are interpolated between projected nodes, or come from an affine transform alone where grid and source share a
    CRS. There is no node then.
    """

    x: NDArray[np.float64]
    """Easting of the nodes, in CRS units (row, column)."""
    y: NDArray[np.float64]
    """Northing of the nodes, in CRS units (row, column)."""
    step: int
    """Number of pixels between two nodes, which are computed together."""
    row: int
    """Index of the first row of nodes, in steps from global index 0."""
    column: int
    """Index of the first column of nodes, in steps from global index 0."""
    affine: NDArray[np.float64]
    """Left edge of column 0, width of a pixel, upper edge of row 0 and height of a pixel, in CRS units (4,); (0,) if
    coordinates are interpolated."""
