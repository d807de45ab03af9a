"""Read one band onto a window of a lattice."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.odc_driver.source import KERNELS, BandSource
from ardcube.pixels.bitmask import packed
from ardcube.pixels.nodes import SourceAxes, axes_of
from ardcube.pixels.projection import Projection, project
from ardcube.pixels.resample import needed_blocks, resample_window
from ardcube.raster.block_cache import BlockCache
from ardcube.raster.conversion import dtype_as_read
from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.header import Header, Level
from ardcube.raster.longitudes import moved, turns

_PROJECTIONS_KEPT = 8
"""Projected windows that a process keeps: all scenes and bands of a chunk share a few."""
_block_cache = BlockCache(128 * 1024 * 1024)
"""Blocks that a process keeps: those of some files at the level that is read."""


def read_window(source: BandSource, lattice: Lattice, window: Window) -> NDArray[Any] | None:
    """Read and resample a window, (y, x); None where the file covers none of it.

    A raster in degrees may cover it at several multiples of 360 degrees.
    """
    header, values = source.raster.header, None
    edges = sorted((lattice.left(window.x0), lattice.left(window.x1)))
    for turn in turns(header, lattice.crs, (edges[0], edges[1])):
        placed = moved(header, turn)
        level = placed.levels[header.levels.index(source.level)]
        more = _read_once(source, placed, level, lattice, window)
        values = more if values is None or more is None else np.where(values == source.fill, more, values)
    return values


def _read_once(
    source: BandSource, header: Header, level: Level, lattice: Lattice, window: Window
) -> NDArray[Any] | None:
    """Read and resample a window, (y, x), from a raster at given coordinates; None where it covers none of it."""
    kernel = KERNELS[source.resampling]
    projection = _project(lattice, window, axes_of(lattice, header))
    blocks = needed_blocks(projection, packed(np.ones(window.shape, bool)), level, source.resampling)
    if blocks is None:
        return None
    nodata = [*sorted(source.missing - {0}, reverse=True), 0, 0]
    encoding, as_read = Encoding(nodata[0], also=nodata[1]), dtype_as_read(header.dtype)
    band = _block_cache.fetch(source.file, source.raster, blocks)
    pixels = SourcePixels.decode([band], blocks, header.dtype, encoding, find_holes=kernel > 0)
    if kernel == 0 and 0 not in source.missing:
        values = np.full(window.shape, source.fill, source.dtype)
        _take(values, projection.nearest_pixels(level), pixels, source.missing)
        return values
    numbers = np.zeros((1, *window.shape), as_read if kernel == 0 else "uint16")
    resample_window(numbers, [0], np.ones(window.shape, bool), projection, pixels, source.resampling)
    if numbers.dtype == as_read == source.dtype and source.fill == 0:
        resampled: NDArray[Any] = numbers[0]
        return resampled
    # A cubic kernel may leave the range of the file's data type.
    filled: NDArray[Any] = np.minimum(numbers[0], np.iinfo(as_read).max).astype(source.dtype)
    filled[numbers[0] == 0] = source.fill
    return filled


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


@lru_cache(maxsize=_PROJECTIONS_KEPT)
def _project(lattice: Lattice, window: Window, axes: SourceAxes) -> Projection:
    """Project a window once for all files that share their axes."""
    return project(lattice, window, axes)
