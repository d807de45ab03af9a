"""Choose the part of a cube that pictures show, and read it chunk by chunk, at a bounded cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.ledger.stored_cube import StoredCube


def whole(grid: Grid) -> Window:
    """Return the window of all pixels."""
    return Window(0, grid.height, 0, grid.width)


def tile_pixels(cube: StoredCube) -> int:
    """Return the pixels of a tile in one band."""
    size = cube.config.tile_size
    return min(size, cube.grid.height) * min(size, cube.grid.width)


def fullest_part(cube: StoredCube, written: NDArray[np.bool_], most_pixels: int) -> Window:
    """Return the whole grid if it may be read, else the window with most written tiles.

    Parameters
    ----------
    cube : StoredCube
        The cube.
    written : bool (row, col)
        Tiles that are written.
    most_pixels : int
        Pixels of one band that may be read.
    """
    size, (rows, cols) = cube.config.tile_size, written.shape
    if int(written.sum()) * tile_pixels(cube) <= most_pixels:
        return whole(cube.grid)
    side = max(1, int(most_pixels**0.5) // size)
    high, wide = min(side, rows), min(side, cols)
    sums = np.pad(written.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    found = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, col = np.unravel_index(int(found.argmax()), found.shape)
    most = min(side * size, int(most_pixels**0.5))  # a tile may be a shard, which is larger than may be read
    y0, x0 = int(row) * size, int(col) * size
    return Window(y0, min(y0 + most, cube.grid.height), x0, min(x0 + most, cube.grid.width))


def read_built(
    read: Callable[[Window], NDArray[np.uint16]], cube: StoredCube, built: NDArray[np.bool_], window: Window
) -> NDArray[np.uint16] | None:
    """Read a window of one chunk, uint16 (y, x, band), or return None if the chunk was not built.

    Parameters
    ----------
    read : callable
        Return the pixels of a window of one period, (y, x, band).
    cube : StoredCube
        The cube.
    built : bool (row, col)
        Tiles that are built.
    window : Window
        Part of a tile.
    """
    tile = cube.config.tile_size
    return read(window) if built[window.y0 // tile, window.x0 // tile] else None
