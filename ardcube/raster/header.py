"""What a raster file says of itself: its levels, and which of them a cube reads (pure)."""

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
    """The full raster, or one of its overviews."""

    index: int
    """0 for the full raster, n for its n-th overview."""
    height: int
    width: int
    transform: Affine
    """From pixel corners (column, row) to CRS coordinates; the ratio is that of the two sizes."""
    block: tuple[int, int]
    """Rows and columns of a block, which is read and decoded as one."""

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return -(-self.height // self.block[0]), -(-self.width // self.block[1])


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself."""

    crs: str
    """Authority code where there is one, else WKT."""
    dtype: str
    """`uint8` or `uint16`."""
    nodata: int
    levels: tuple[Level, ...]
    """The full raster first; overviews that no cube of the wanted resolution would read may be missing."""

    def level_for(self, resolution: float) -> Level:
        """The coarsest level whose pixel is not larger than an output pixel of `resolution` degrees."""
        return self.coarsest(self.output_pixel(resolution))

    def coarsest(self, size: float) -> Level:
        """Return the coarsest level whose pixel is not larger than `size`, in CRS units; else the full raster."""
        fitting = [lvl for lvl in self.levels if pixel_size(lvl.transform) <= size * (1 + 1e-9)]
        return max(fitting or [self.levels[0]], key=lambda lvl: pixel_size(lvl.transform))

    def output_pixel(self, resolution: float) -> float:
        """Size of an output pixel of `resolution` degrees: the geometric mean of its two sides, in units of the CRS.

        The one at the raster's centre, so that the choice of a level is the same for the whole cube.
        """
        return _output_pixel(self.crs, self.levels[0], resolution)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The part of a level that is needed: a window of pixels, and the blocks in it."""

    needed: NDArray[np.bool_]
    """(row, column) of all blocks of the level."""
    row: int
    """First row of the window, in pixels of the level."""
    column: int
    height: int
    width: int

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and column of each needed block, in order."""
        return [(int(row), int(column)) for row, column in np.argwhere(self.needed)]

    @property
    def filled(self) -> bool:
        """Whether all blocks that the window meets are needed."""
        rows, columns = np.flatnonzero(self.needed.any(axis=1)), np.flatnonzero(self.needed.any(axis=0))
        return bool(self.needed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()) if len(rows) else False


def usable_nodata(declared: float | None, dtype: str) -> int:
    """The nodata value that a file declares, or 0 where its pixels cannot hold that: NaN, -9999, none at all."""
    if declared is None or not 0 <= declared <= np.iinfo(dtype).max or declared != int(declared):
        return 0
    return int(declared)


def pixel_size(transform: Affine) -> float:
    """Geometric mean of a pixel's two sides."""
    return math.sqrt(abs(transform.determinant))


@lru_cache(maxsize=256)
def _output_pixel(crs: str, base: Level, resolution: float) -> float:
    """See `Header.output_pixel`; files of one granule ask the same."""
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
