"""Choose which pixels pictures read, at a cost that does not depend on the size of the cube (pure).

All pixels are read if there are few. Otherwise the finest level of the pyramid that is small enough is read. Without
one, the pictures show fewer periods, and then a part of the cube, or one of several chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window

BLOCK = 1024
"""Pixels per side of a block that is read at once, if chunks are not larger."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit of the pixels that the pictures of one command or page read, and the choice of those of a larger cube."""

    pixels: int
    """Pixels of one band."""
    tiles: int
    """Tiles. Each is an object of every array that is read."""
    pictures: int
    """Periods."""
    periods: Literal["spread", "newest"]
    """Which periods remain of many: evenly spread ones, or the newest."""
    rest: Literal["part", "sample"]
    """Pixels of one period that may not be read as a whole: a part, or the mean of one of several chunks."""
    sampled: int = 64
    """Chunks of a sample that one picture has at least."""

    def for_arrays(self, arrays: int) -> Limit:
        """Return the limit of a variable that is stored as several arrays, of which each has an object per tile."""
        return replace(self, tiles=max(1, self.tiles // arrays))


@dataclass(frozen=True, slots=True)
class Level:
    """The pixels of a cube, or of a level of its pyramid."""

    number: int
    """0 for the cube, 1 and more for levels."""
    size: tuple[int, int]
    """Rows and columns, in pixels."""
    tile: int
    """Rows and columns of a tile, in pixels."""
    written: NDArray[np.bool_]
    """Tiles that may have pixels: bool (period, row, col)."""
    built: NDArray[np.bool_]
    """Tiles with a number of clear days, which may be 0: bool (period, row, col)."""

    @property
    def window(self) -> Window:
        """The window of all pixels."""
        return Window(0, self.size[0], 0, self.size[1])

    @property
    def tile_pixels(self) -> int:
        """Pixels of a tile in one band."""
        return min(self.tile, self.size[0]) * min(self.tile, self.size[1])

    def block(self, chunk: int) -> int:
        """Return rows and columns of the blocks that are read at once: a whole tile, or chunks of a large shard.

        The index of a shard is read again for each block, unless the block is the whole shard.
        """
        side = self.tile // chunk
        return chunk * max(
            part for part in range(1, side + 1) if side % part == 0 and (part == 1 or part * chunk <= BLOCK)
        )

    def fits(self, periods: Sequence[int], limit: Limit) -> bool:
        """Return whether all pixels of some periods may be read."""
        tiles = int(self.written[list(periods)].sum())
        return len(periods) <= limit.pictures and tiles <= min(limit.tiles, limit.pixels // self.tile_pixels)

    def read_built(
        self, read: Callable[[Window], NDArray[np.uint16]], built: NDArray[np.bool_], window: Window
    ) -> NDArray[np.uint16] | None:
        """Read a window of one tile, uint16 (y, x, band), or return None if the tile was not built.

        Parameters
        ----------
        read : callable
            Return the pixels of a window of one period, (y, x, band).
        built : bool (row, col)
            Tiles that are read.
        window : Window
            Part of a tile.
        """
        return read(window) if built[window.y0 // self.tile, window.x0 // self.tile] else None


@dataclass(frozen=True, slots=True)
class ShownPixels:
    """The pixels that pictures read."""

    level: Level
    periods: tuple[int, ...]
    """Positions of the periods, sorted."""
    window: Window
    """Part of the level."""
    step: int = 1
    """One of `step` x `step` chunks is read; 1 if all are."""

    @property
    def is_part(self) -> bool:
        """Whether the pictures do not show the whole cube."""
        return self.window != self.level.window

    def window_of_cube(self, grid: Grid) -> Window:
        """Return the part of the cube that the pictures show, in its own pixels."""
        edge, (y0, y1, x0, x1) = 2**self.level.number, (self.window.y0, self.window.y1, self.window.x0, self.window.x1)
        return Window(y0 * edge, min(y1 * edge, grid.height), x0 * edge, min(x1 * edge, grid.width))


def whole(grid: Grid) -> Window:
    """Return the window of all pixels."""
    return Window(0, grid.height, 0, grid.width)


def choose_pixels(levels: Iterable[Level], wanted: Sequence[int], limit: Limit, chunk: int) -> ShownPixels | None:
    """Choose level, periods and part, so that pictures read no more than they may.

    Parameters
    ----------
    levels : iterable of Level
        The cube, then the levels of its pyramid that are built, the finest first. Later ones are asked for only if
        earlier ones are too large.
    wanted : sequence of int
        Positions of the periods that pictures are wanted of, sorted.
    limit : Limit
        What may be read.
    chunk : int
        Rows and columns of a chunk, in pixels. A tile has several if it is a shard.

    Returns
    -------
    ShownPixels or None
        None if no period is wanted, or if one chunk is more than may be read.
    """
    if not wanted:
        return None
    level = None
    for level in levels:
        if level.fits(wanted, limit):
            return ShownPixels(level, tuple(wanted), level.window)
    if level is None or min(chunk, level.size[0]) * min(chunk, level.size[1]) > limit.pixels:
        return None
    if limit.rest == "sample":
        return _sample(level, wanted, limit, chunk)
    periods = _fewer(level, wanted, limit)
    window = level.window
    if len(periods) == 1:
        window = _fullest_part(level, level.written[periods[0]], min(limit.pixels, limit.tiles * level.tile_pixels))
    return ShownPixels(level, tuple(periods), window)


def spread(candidates: Sequence[int], most: int) -> list[int]:
    """Return at most so many elements, evenly spread; the first and the last are among them, of one the last."""
    if len(candidates) <= most:
        return list(candidates)
    positions = np.rint(np.linspace(len(candidates) - 1, 0, most)).astype(int)[::-1]
    return [candidates[position] for position in positions]


def _fewer(level: Level, wanted: Sequence[int], limit: Limit) -> list[int]:
    """Return as many of the wanted periods as may be read, at least one."""
    for most in range(min(len(wanted), limit.pictures), 1, -1):
        chosen = spread(wanted, most) if limit.periods == "spread" else list(wanted[-most:])
        if level.fits(chosen, limit):
            return chosen
    return list(wanted[-1:])


def _sample(level: Level, wanted: Sequence[int], limit: Limit, chunk: int) -> ShownPixels:
    """Choose one of `step` x `step` chunks; fewer periods if each would have very few chunks."""
    rows, cols = (-(-length // chunk) for length in level.size)
    most = max(1, min(limit.tiles, limit.pixels // chunk**2))
    pictures = min(limit.pictures, max(1, most // min(limit.sampled, rows * cols)))
    periods = spread(wanted, pictures)
    step = 1
    while len(periods) * -(-rows // step) * -(-cols // step) > most:
        step += 1
    return ShownPixels(level, tuple(periods), level.window, step)


def _fullest_part(level: Level, written: NDArray[np.bool_], most_pixels: int) -> Window:
    """Return the whole level if it may be read, else the window with most written tiles.

    Parameters
    ----------
    level : Level
        The level.
    written : bool (row, col)
        Tiles that are written.
    most_pixels : int
        Pixels of one band that may be read.
    """
    size, (rows, cols) = level.tile, written.shape
    if int(written.sum()) * level.tile_pixels <= most_pixels:
        return level.window
    side = max(1, int(most_pixels**0.5) // size)
    high, wide = min(side, rows), min(side, cols)
    sums = np.pad(written.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    found = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, col = np.unravel_index(int(found.argmax()), found.shape)
    most = min(side * size, int(most_pixels**0.5))  # a tile may be a shard, which is larger than may be read
    y0, x0 = int(row) * size, int(col) * size
    return Window(y0, min(y0 + most, level.size[0]), x0, min(x0 + most, level.size[1]))
