"""Read one band onto a window of a lattice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Window
from ardcube.odc_driver.source import KERNELS, BandSource
from ardcube.pixels.bitmask import packed
from ardcube.pixels.lattice import ExactProjection, Lattice, nearest_pixels, project_window
from ardcube.pixels.projection import Projection
from ardcube.pixels.resample import fill_weighted, needed_blocks, resample_window
from ardcube.raster.block_cache import BlockCache
from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.header import Level

_PROJECTIONS_KEPT = 8
"""Projected windows that a process keeps: all scenes and bands of a chunk share a few."""
_block_cache = BlockCache(128 * 1024 * 1024)
"""Blocks that a process keeps: those of some files at the level that is read."""


def read_window(source: BandSource, lattice: Lattice, window: Window) -> NDArray[Any] | None:
    """Read and resample a window, (y, x); None where the file covers none of it."""
    header, level, kernel = source.raster.header, source.level, KERNELS[source.resampling]
    projection = _project(lattice, window, header.crs)
    if isinstance(projection, ExactProjection):
        blocks = projection.needed_blocks(level, kernel)
    else:
        blocks = needed_blocks(projection, packed(np.ones(window.shape, bool)), level, source.resampling)
    if blocks is None:
        return None
    encoding = Encoding(max(source.missing, default=0))
    band = _block_cache.fetch(source.file, source.raster, blocks)
    pixels = SourcePixels.decode([band], blocks, header.dtype, encoding, find_holes=kernel > 0)
    if kernel == 0 and (0 not in source.missing or isinstance(projection, ExactProjection)):
        values = np.full(window.shape, source.fill, source.dtype)
        for rows, indices in _nearest(projection, level):
            _take(values[rows], indices, pixels, source.missing)
        return values
    numbers = _resampled(projection, pixels, source)
    if numbers.dtype == header.dtype == source.dtype and source.fill == 0:
        return numbers
    # A cubic kernel may leave the range of the file's data type.
    filled: NDArray[Any] = np.minimum(numbers, np.iinfo(header.dtype).max).astype(source.dtype)
    filled[numbers == 0] = source.fill
    return filled


def _nearest(projection: Projection | ExactProjection, level: Level) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Rows of a window, and row and column of the nearest source pixel of each of their pixels, (2, y, x)."""
    if isinstance(projection, ExactProjection):
        yield from ((rows, nearest_pixels(at, level)) for rows, at in projection.strips())
    else:
        yield slice(None), projection.nearest_pixels(level)


def _take(values: NDArray[Any], indices: NDArray[Any], pixels: SourcePixels, missing: frozenset[int]) -> None:
    """Fill values with source pixels; 0 counts as data unless it is named as nodata."""
    height, width, _ = pixels.values.shape
    rows, columns = (
        axis.astype(np.int64) - first
        for axis, first in zip(indices, (pixels.blocks.row, pixels.blocks.column), strict=True)
    )
    inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    numbers = pixels.values[np.where(inside, rows, 0), np.where(inside, columns, 0), 0]
    for number in missing:
        inside &= numbers != number
    np.copyto(values, numbers, where=inside, casting="unsafe")


def _resampled(projection: Projection | ExactProjection, pixels: SourcePixels, source: BandSource) -> NDArray[Any]:
    """Resample a window: (y, x), 0 without data; weighted means are uint16."""
    dtype = source.raster.header.dtype if source.resampling == "nearest" else "uint16"
    numbers = np.zeros((1, *projection.window.shape), dtype)
    wanted = np.ones(projection.window.shape, bool)
    if isinstance(projection, ExactProjection):
        for rows, at in projection.strips():
            fill_weighted(numbers[:, rows], [0], wanted[rows], at, pixels, source.resampling)
    else:
        resample_window(numbers, [0], wanted, projection, pixels, source.resampling)
    filled: NDArray[Any] = numbers[0]
    return filled


@lru_cache(maxsize=_PROJECTIONS_KEPT)
def _project(lattice: Lattice, window: Window, crs: str) -> Projection | ExactProjection:
    """Project a window once for all files that share a CRS."""
    return project_window(lattice, window, crs)
