"""The header of a raster file: CRS, data type, nodata, overview levels; and the blocks of a level (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

DTYPES = ("uint8", "uint16", "int16")
"""Data types of files that are read."""


@dataclass(frozen=True, slots=True)
class Level:
    """The full raster or one of its overviews."""

    index: int
    """0 for the full raster, n for its n-th overview."""
    height: int
    width: int
    transform: Affine
    """From pixel corners (column, row) to CRS coordinates, scaled by the exact ratio of the two sizes."""
    block: tuple[int, int]
    """Rows and columns of a block, the unit of reading and decoding."""
    resampling: str = ""
    """Method by which the overview was computed, such as `mode`; empty for the full raster and if unknown."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.height, self.width

    @property
    def centre(self) -> tuple[float, float]:
        """Coordinates of the centre, in CRS units."""
        x, y = self.transform @ (self.width / 2, self.height / 2)
        return x, y

    @property
    def block_grid(self) -> tuple[int, int]:
        """Numbers of rows and columns of blocks."""
        return -(-self.height // self.block[0]), -(-self.width // self.block[1])


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a raster file. `ardcube.raster.levels` chooses the level to read."""

    crs: str
    """Authority code if the CRS has one, else WKT."""
    dtype: str
    """One of `DTYPES`."""
    nodata: int | None
    """None if the file declares none that its data type can hold."""
    levels: tuple[Level, ...]
    """The full raster first. Overviews that are too coarse for the cube's resolution may be missing. A file with a mask
    has no others, because its overviews may be older than the mask, or their masks empty."""
    masked: bool = False
    """Whether the file has a mask or an alpha band."""
    samples: int = 1
    """Bands of the file, without alpha."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The needed blocks of a level, and the window of pixels around the needed pixels."""

    level: Level
    needed: NDArray[np.bool_]
    """Whether a block is needed, for all blocks of the level (row, column)."""
    row: int
    """First row of the window, in pixels of the level."""
    column: int
    """First column of the window, in pixels of the level."""
    height: int
    width: int

    @property
    def indices(self) -> list[tuple[int, int]]:
        """Row and column of each needed block, in order."""
        return [(int(row), int(column)) for row, column in np.argwhere(self.needed)]

    @property
    def all_needed(self) -> bool:
        """Whether every block between the first and the last needed row and column is needed."""
        rows, columns = np.flatnonzero(self.needed.any(axis=1)), np.flatnonzero(self.needed.any(axis=0))
        return bool(self.needed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()) if len(rows) else False


def usable_nodata(declared: float | None, dtype: str) -> int | None:
    """Return the nodata value that a file declares, or None if its data type cannot hold that value (NaN, -9999)."""
    limits = np.iinfo(dtype)
    if declared is None or not limits.min <= declared <= limits.max or declared != int(declared):
        return None
    return int(declared)


def stated_nodata(stated: int | None, dtype: str) -> int | None:
    """Return the nodata value that an item states, or None if it is below all numbers of the file's data type."""
    return None if stated is None or stated < np.iinfo(dtype).min else stated


def pixel_size(transform: Affine) -> float:
    """Return the geometric mean of the two sides of a pixel."""
    return math.sqrt(abs(transform.determinant))
