"""Find the pixels of a grid whose centres are inside of geometries (pure).

Blocks of pixels that are wholly inside or outside are decided by their outlines. Only the pixels of blocks that an edge
may cross are tested one by one, so that a result does not depend on the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import Polygon

from ardcube.extent.clip import Clip
from ardcube.extent.grid import Grid, Tiles
from ardcube.extent.lattice import crs_of, is_same_crs, transformer
from ardcube.extent.window import Window

_SIDES = (256, 32)
"""Pixels per side of the blocks into which a window is divided, level by level."""
_TILES = 32
"""Tiles per side of the blocks into which a grid of tiles is divided."""
_AT_ONCE = 4096
"""Blocks whose outlines are made at once."""
_GROWTH = 0.05
"""Share of its side by which the outline of a block is larger than the block, on every side."""
_BEND = _GROWTH / 4
"""Share of its side by which the outline of a block may differ from a parallelogram. A block that bends more, or that
contains a pole or the antimeridian, is divided."""
_PER_SIDE = 8
"""Vertices of each side of an outline."""
_TURN = 360.0

Blocks = NDArray[np.int64]
"""First row and first row after blocks, first column and first column after them: (block, 4)."""


@dataclass(frozen=True, slots=True)
class _Level:
    """Blocks of one size."""

    inside: Blocks
    """Blocks all of whose pixels are inside."""
    undecided: Blocks
    """Blocks that an edge may cross."""


class GridClip:
    """The geometries that clip a cube, on its grid. Threads can share it.

    Parameters
    ----------
    clip : Clip
        The geometries.
    grid : Grid
        Grid of the cube.
    """

    def __init__(self, clip: Clip, grid: Grid) -> None:
        self.grid = grid
        self._to_clip = None if is_same_crs(grid.lattice.crs, clip.crs) else transformer(grid.lattice.crs, clip.crs)
        self._polygons = np.array(_placed(clip, grid), object)
        shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)
        self._lock = Lock()  # GEOS builds the indices of a prepared geometry at its first use, and not for two threads

    def inside(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the pixels of a window whose centres are inside, bool (y, x); None if all are."""
        with self._lock:
            found = np.zeros(window.shape, bool)
            for level in self._levels(window, _SIDES):
                for y0, y1, x0, x1 in level.inside.tolist():
                    found[Window(y0, y1, x0, x1).relative_to(window).slices] = True
            for y0, y1, x0, x1 in level.undecided.tolist():
                block = Window(y0, y1, x0, x1)
                found[block.relative_to(window).slices] = self._centres_inside(block)
        return None if found.all() else found

    def tiles(self, size: int) -> Tiles:
        """Return the tiles of `size` pixels a side that have a pixel inside."""
        rows, cols = self.grid.tile_counts(size)
        kept = np.zeros((rows, cols), bool)
        whole = Window(0, self.grid.height, 0, self.grid.width)
        with self._lock:
            for level in self._levels(whole, (_TILES * size, size)):
                for y0, y1, x0, x1 in level.inside.tolist():
                    kept[y0 // size : -(-y1 // size), x0 // size : -(-x1 // size)] = True
            for y0, y1, x0, x1 in level.undecided.tolist():
                kept[y0 // size, x0 // size] = self._has_pixel(Window(y0, y1, x0, x1))
        return self.grid.tiles(size).where(kept.ravel())

    def _has_pixel(self, window: Window) -> bool:
        """Return whether a pixel of a window is inside."""
        for level in self._levels(window, _SIDES):
            if len(level.inside):
                return True
        return any(bool(self._centres_inside(Window(*edges)).any()) for edges in level.undecided.tolist())

    def _levels(self, window: Window, sides: Sequence[int]) -> Iterator[_Level]:
        """Yield the blocks of a window, then those of each smaller side within undecided blocks."""
        blocks = np.array([[window.y0, window.y1, window.x0, window.x1]], np.int64)
        level = self._decided(blocks)
        yield level
        for side in sides:
            level = self._decided(_divided(level.undecided, side))
            yield level

    def _decided(self, blocks: Blocks) -> _Level:
        """Divide blocks into those that are inside, those that are undecided, and the rest, which is outside."""
        inside, undecided = [blocks[:0]], [blocks[:0]]
        for first in range(0, len(blocks), _AT_ONCE):
            some = blocks[first : first + _AT_ONCE]
            rings, is_straight = self._outlines(some)
            straight = np.flatnonzero(is_straight)
            outlines = np.asarray(shapely.polygons(rings[straight]), object)
            block, polygon = self._tree.query(outlines)
            contained = shapely.contains_properly(self._polygons[polygon], outlines[block])
            met = shapely.intersects(self._polygons[polygon], outlines[block])
            is_inside = np.isin(np.arange(len(some)), straight[block[contained]])
            is_met = np.isin(np.arange(len(some)), straight[block[met]])
            inside.append(some[is_inside])
            undecided.append(some[(is_met | ~is_straight) & ~is_inside])
        return _Level(np.concatenate(inside), np.concatenate(undecided))

    def _outlines(self, blocks: Blocks) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return outlines that hold all centres of blocks, (block, vertex, 2), and whether they can be relied on."""
        y0, y1, x0, x1 = (blocks[:, [edge]] for edge in range(4))
        u, v = _unit_ring()
        lattice, row, column = self.grid.lattice, self.grid.row, self.grid.column
        x = lattice.x0 + (x0 + column + u * (x1 - x0)) * lattice.step_x
        y = lattice.y0 + (y0 + row + v * (y1 - y0)) * lattice.step_y
        if self._to_clip is None:
            return np.stack([x, y], axis=-1), np.ones(len(blocks), bool)
        ring = np.stack(self._to_clip.transform(x, y), axis=-1)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            corner, right, down = ring[:, 0], ring[:, _PER_SIDE], ring[:, -1 - _PER_SIDE]
            across, along = right - corner, down - corner
            size = across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0]
            share = np.stack([u - u[0], v - v[0]], axis=-1) / (1 + 2 * _GROWTH)
            bend = ring - corner[:, None] - share[:, :1] * across[:, None] - share[:, 1:] * along[:, None]
            bend_u = (bend[..., 0] * along[:, 1:] - bend[..., 1] * along[:, :1]) / size[:, None]
            bend_v = (bend[..., 1] * across[:, :1] - bend[..., 0] * across[:, 1:]) / size[:, None]
            is_straight = (np.abs(bend_u) <= _BEND).all(axis=1) & (np.abs(bend_v) <= _BEND).all(axis=1)
        return ring, is_straight & np.isfinite(ring).all(axis=(1, 2))

    def _centres_inside(self, block: Window) -> NDArray[np.bool_]:
        """Return the pixels of a block whose centres are inside, bool (y, x), each tested by itself."""
        x, y = np.meshgrid(
            self.grid.x(np.arange(block.x0, block.x1)), self.grid.y(np.arange(block.y0, block.y1)), copy=False
        )
        if self._to_clip is not None:
            x, y = self._to_clip.transform(x, y)
        is_defined = np.isfinite(x) & np.isfinite(y)
        inside = np.zeros(block.shape, bool)
        if is_defined.any():
            known_x, known_y = x[is_defined], y[is_defined]
            extent = shapely.box(known_x.min(), known_y.min(), known_x.max(), known_y.max())
            for polygon in self._polygons[self._tree.query(extent)]:
                inside[is_defined] |= shapely.intersects_xy(polygon, known_x, known_y)
        return inside


@lru_cache(maxsize=4)
def clipped_tiles(clip: Clip, grid: Grid, size: int) -> Tiles:
    """Return the tiles of `size` pixels a side that have a pixel inside; cached, because each run needs them twice."""
    return GridClip(clip, grid).tiles(size)


def _placed(clip: Clip, grid: Grid) -> list[Polygon]:
    """Return the polygons; of degrees at each multiple of 360 degrees at which they may meet a pixel of the grid."""
    if not crs_of(clip.crs).is_geographic:
        return list(clip.polygons)
    low, high = -_TURN / 2, _TURN / 2
    if grid.lattice.is_geographic:
        low, high = min(low, grid.bounds[0]), max(high, grid.bounds[2])
    placed = []
    for polygon in clip.polygons:
        west, _, east, _ = polygon.bounds
        turns = range(math.ceil((low - east) / _TURN), math.floor((high - west) / _TURN) + 1)
        placed += [affinity.translate(polygon, _TURN * turn) if turn else polygon for turn in turns]
    return placed


def _unit_ring() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the closed outline of a grown unit square, from its upper left corner clockwise."""
    low, high = -_GROWTH, 1 + _GROWTH
    side = low + (high - low) * np.arange(_PER_SIDE) / _PER_SIDE
    back = low + high - side
    ends = np.full(_PER_SIDE, high), np.full(_PER_SIDE, low)
    return np.concatenate([side, ends[0], back, ends[1], [low]]), np.concatenate([ends[1], side, ends[0], back, [low]])


def _divided(blocks: Blocks, side: int) -> Blocks:
    """Divide blocks at multiples of `side` pixels, counted from their first pixels."""
    parts = [blocks[:0]]
    for y0, y1, x0, x1 in blocks.tolist():
        rows, cols = np.arange(y0, y1, side), np.arange(x0, x1, side)
        row, col = (values.ravel() for values in np.meshgrid(rows, cols, indexing="ij"))
        parts.append(np.stack([row, np.minimum(row + side, y1), col, np.minimum(col + side, x1)], axis=1))
    return np.concatenate(parts)
