"""The header of a raster file: CRS, data type, nodata, overview levels; and the blocks of a level (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer


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

    @property
    def block_grid(self) -> tuple[int, int]:
        """Numbers of rows and columns of blocks."""
        return -(-self.height // self.block[0]), -(-self.width // self.block[1])


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a raster file."""

    crs: str
    """Authority code if the CRS has one, else WKT."""
    dtype: str
    """`uint8` or `uint16`."""
    nodata: int
    """0 if the file declares none."""
    levels: tuple[Level, ...]
    """The full raster first. Overviews that are too coarse for the cube's resolution may be missing."""

    def level_for(self, resolution: float) -> Level:
        """Return the coarsest level whose pixel is not larger than an output pixel of `resolution` degrees."""
        return self.coarsest(self.output_pixel(resolution))

    def coarsest(self, size: float) -> Level:
        """Return the coarsest level whose pixel is not larger than `size`, in CRS units; else the full raster."""
        fitting = [level for level in self.levels if pixel_size(level.transform) <= size * (1 + 1e-9)]
        return max(fitting or [self.levels[0]], key=lambda level: pixel_size(level.transform))

    def output_pixel(self, resolution: float) -> float:
        """Return the size of an output pixel of `resolution` degrees, in CRS units: the geometric mean of both sides.

        The size is that at the raster's centre, so that the whole cube reads the same level of a file.
        """
        return _output_pixel(self.crs, self.levels[0], resolution)


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


def usable_nodata(declared: float | None, dtype: str) -> int:
    """Return the nodata value that a file declares, or 0 if its data type cannot hold that value (NaN, -9999)."""
    if declared is None or not 0 <= declared <= np.iinfo(dtype).max or declared != int(declared):
        return 0
    return int(declared)


def pixel_size(transform: Affine) -> float:
    """Return the geometric mean of the two sides of a pixel."""
    return math.sqrt(abs(transform.determinant))


@lru_cache(maxsize=256)
def _output_pixel(crs: str, base: Level, resolution: float) -> float:
    """See `Header.output_pixel`. The files of one granule share an entry of the cache."""
    x, y = base.transform @ (base.width / 2, base.height / 2)
    backward, forward = _transformers(crs)
    lon, lat = backward.transform(x, y)
    half = resolution / 2
    xs, ys = forward.transform([lon - half, lon + half, lon, lon], [lat, lat, lat - half, lat + half])
    return math.sqrt(math.hypot(xs[1] - xs[0], ys[1] - ys[0]) * math.hypot(xs[3] - xs[2], ys[3] - ys[2]))


@lru_cache(maxsize=64)
def _transformers(crs: str) -> tuple[Transformer, Transformer]:
    return (
        Transformer.from_crs(crs, "EPSG:4326", always_xy=True),
        Transformer.from_crs("EPSG:4326", crs, always_xy=True),
    )
