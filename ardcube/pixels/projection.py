"""Coordinates of grid pixels in a source CRS, with the same bits in every window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.kernels.layout import Nodes
from ardcube.pixels.nodes import SourceAxes, nodes_around
from ardcube.raster.header import Level

CELL = 8
"""Side, in pixels, of the cells for which needed blocks are determined, because single pixels would cost as much as
resampling. A byte of `ardcube.pixels.bitmask` is a row of a cell."""
_SAME_PIXEL = 1e-6
"""Share of a pixel by which a pixel of the window may differ from one of a level, because both are computed."""
ROWS = 32
"""Number of rows whose coordinates are computed at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Coordinates of pixel centres in a source CRS; arrays float64 (y, x)."""

    x: NDArray[np.float64]
    """Easting, in CRS units."""
    y: NDArray[np.float64]
    """Northing, in CRS units."""
    step_x: NDArray[np.float64]
    """Change of easting over one output pixel: length of the Jacobian's row, in CRS units."""
    step_y: NDArray[np.float64]
    """Change of northing over one output pixel, in CRS units."""


@dataclass(frozen=True, slots=True)
class CellSupport:
    """Pixels and blocks of a level under the kernels of each cell of `CELL` x `CELL` pixels of a window."""

    touches: NDArray[np.bool_]
    """Whether the kernels touch the level (row, column of cells)."""
    pixels: NDArray[np.int32]
    """First and last row, first and last column of pixels (bound, cell)."""
    rectangles: NDArray[np.int64]
    """First and last row, first and last column of blocks, without duplicates (rectangle, bound)."""
    rectangle: NDArray[np.int64]
    """Index into `rectangles` of each cell (cell,)."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The projection of a window of the grid into a source CRS.

    Nodes on a lattice of global pixel indices are projected exactly. Between nodes, coordinates are interpolated with
    cubic Lagrange polynomials, first down the columns of nodes, then along the row. The lattice is anchored at
    global index 0, so overlapping windows have the same bits, also in different cubes of one grid. Where source and
    grid share a CRS, coordinates come from the affine transform alone.
    """

    window: Window
    """In global indices."""
    nodes: Nodes
    _supports: dict[tuple[Level, int, tuple[int, int]], CellSupport] = field(default_factory=dict)
    _pixels: dict[Level, NDArray[np.unsignedinteger[Any]]] = field(default_factory=dict)

    def crop(self, window: Window) -> Projection:
        """Return the projection of a smaller window, in global indices, which shares the nodes."""
        return Projection(window, self.nodes)

    def coordinates(self, rows: slice = slice(None), wanted: NDArray[np.bool_] | None = None) -> Coordinates:
        """Compute the coordinates of some rows of the window.

        Parameters
        ----------
        rows : slice
            Rows of the window.
        wanted : bool (y, x)
            Wanted pixels of these rows. Coordinates and steps far from them are 0.
        """
        from ardcube.kernels.interpolate import find_coordinates  # numba takes a second to import

        start, stop, _ = rows.indices(self.window.shape[0])
        shape = max(0, stop - start), self.window.shape[1]
        if wanted is None:
            wanted = np.ones(shape, bool)
        found = Coordinates(*np.empty((4, *shape)))
        find_coordinates(
            self.nodes, self.window.y0 + start, self.window.x0, wanted, found.x, found.y, found.step_x, found.step_y
        )
        return found

    def nearest_pixels(self, level: Level) -> NDArray[np.unsignedinteger[Any]]:
        """Return the row and column of the pixel of `level` that holds each pixel centre, (2, y, x).

        Computed once per level, because all scenes of a granule share a grid. Beyond the level both are the largest
        number of the type, which has 16 bits where these are enough.
        """
        if level not in self._pixels:
            self._pixels[level] = self._find_pixels(level)
        return self._pixels[level]

    def is_grid_of(self, level: Level) -> bool:
        """Return whether the pixels of the window are pixels of a level: each kernel then has one tap of weight 1."""
        affine, t = self.nodes.affine, level.transform
        if not affine.size:
            return False
        left, width, upper, height = affine
        column, row = (left - t.c) / t.a, (upper - t.f) / t.e
        shift = max(abs(column - round(column)), abs(row - round(row)))
        # Over the largest raster the sizes may differ by as much as the positions.
        stretch = max(abs(width / t.a - 1) * level.width, abs(height / t.e - 1) * level.height)
        return bool(max(shift, stretch) < _SAME_PIXEL)

    def _find_pixels(self, level: Level) -> NDArray[np.unsignedinteger[Any]]:
        from ardcube.kernels.interpolate import find_pixels  # numba takes a second to import

        t, kind = level.transform, _index_type(level)
        found = np.empty((2, *self.window.shape), kind)
        find_pixels(
            self.nodes, self.window.y0, self.window.x0, t.c, t.a, t.f, t.e, level.height, level.width,
            np.iinfo(kind).max, found,
        )  # fmt: skip
        return found

    def kernel_support(self, level: Level, half_width: int, reach: tuple[int, int] = (0, 0)) -> CellSupport:
        """Return the pixels and blocks under the kernels of all cells; computed once per level.

        Parameters
        ----------
        level : Level
            Of the source.
        half_width : int
            Half width of the kernel, in source pixels if the source is not downsampled.
        reach : (int, int)
            Rows and columns of source pixels that are needed around the kernels.
        """
        key = level, half_width, reach
        if key not in self._supports:
            x, y, step_x, step_y = self._cell_bounds()
            t = level.transform
            margin_x = half_width * np.maximum(1.0, step_x / abs(t.a)) + 1.5
            margin_y = half_width * np.maximum(1.0, step_y / abs(t.e)) + 1.5
            left, right = _pixel_range((x - t.c) / t.a, margin_x, level.width)
            top, bottom = _pixel_range((y - t.f) / t.e, margin_y, level.height)
            touches = (left <= right) & (top <= bottom)
            pixels = np.stack([
                np.maximum(top - reach[0], 0), np.minimum(bottom + reach[0], level.height - 1),
                np.maximum(left - reach[1], 0), np.minimum(right + reach[1], level.width - 1),
            ])  # fmt: skip
            (height, width), (rows, columns) = level.block, level.block_grid
            blocks, sizes = pixels // [[[height]], [[height]], [[width]], [[width]]], (rows, rows, columns, columns)
            keys, rectangle = np.unique(np.ravel_multi_index(tuple(np.maximum(blocks, 0)), sizes), return_inverse=True)
            rectangles = np.stack(np.unravel_index(keys, sizes), axis=1)
            self._supports[key] = CellSupport(
                touches, pixels.astype(np.int32).reshape(4, -1), rectangles, rectangle.ravel()
            )
        return self._supports[key]

    def _cell_bounds(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the smallest and largest x and y of cells, (bound, row, column), and their largest steps.

        The corners of a cell bound its coordinates to far less than a source pixel, which is added as a margin.
        """
        rows, cols = (np.append(np.arange(0, size, CELL), size - 1) for size in self.window.shape)
        corners = np.stack(self.coordinates_at(self.window.y0 + rows, self.window.x0 + cols))
        ends = slice(None, -1), slice(1, None)
        four = np.stack([corners[:, row, column] for row in ends for column in ends])
        low, high = four.min(axis=0), four.max(axis=0)
        return np.stack([low[0], high[0]]), np.stack([low[1], high[1]]), high[2], high[3]

    def coordinates_at(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return x, y and both steps at global rows `i` and columns `j` of pixels, each (i, j)."""
        nodes, step = self.nodes, self.nodes.step
        if nodes.affine.size:
            left, width, upper, height = nodes.affine
            x, y = np.meshgrid(left + (j + 0.5) * width, upper + (i + 0.5) * height)
            return x, y, np.full(x.shape, abs(width)), np.full(x.shape, abs(height))
        cell, cols = i // step, j // step
        t = ((i - cell * step) / step)[:, None]
        first = cell - 1 - nodes.row
        weights = (
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        )
        slopes = (
            -(3 * t * t - 6 * t + 2) / 6 / step,
            (3 * t * t - 4 * t - 1) / 2 / step,
            -(3 * t * t - 2 * t - 2) / 2 / step,
            (3 * t * t - 1) / 6 / step,
        )
        t = (j - cols * step) / step
        column = cols - 1 - nodes.column
        values, steps = [], []
        for projected in (nodes.x, nodes.y):
            along = [_sum(weights, projected, first), _sum(slopes, projected, first)]
            (c0, c1, c2, c3), (d0, d1, d2, d3) = (_cubic(line, column) for line in along)
            values.append(((c3 * t + c2) * t + c1) * t + c0)
            right = (3 * c3 / step * t + 2 * c2 / step) * t + c1 / step
            down = ((d3 * t + d2) * t + d1) * t + d0
            steps.append(np.sqrt(right * right + down * down))
        return values[0], values[1], steps[0], steps[1]


def project(lattice: Lattice, window: Window, axes: SourceAxes) -> Projection:
    """Return the projection of a window of a lattice, in global indices."""
    return Projection(window, nodes_around(lattice, window, axes))


def _sum(
    weights: Sequence[NDArray[np.float64]], nodes: NDArray[np.float64], first: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weighted sum of four rows of nodes for each row of pixels, added term by term."""
    total = weights[0] * nodes[first]
    for k in range(1, 4):
        total = total + weights[k] * nodes[first + k]
    return total


def _cubic(line: NDArray[np.float64], first: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Return the coefficients of the cubics through four nodes at -1, 0, 1 and 2, each (row, column)."""
    a, b, c, d = (line[:, first + k] for k in range(4))
    return b, c - a / 3 - b / 2 - d / 6, (a + c) / 2 - b, (d - a) / 6 + (b - c) / 2


def _index_type(level: Level) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if max(level.height, level.width) < np.iinfo(np.uint16).max else np.uint32


def _pixel_range(
    bounds: NDArray[np.float64], margin: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last pixel along one axis of the level; the last is before the first if there is none."""
    first, last = np.floor(bounds.min(axis=0) - margin), np.floor(bounds.max(axis=0) + margin)
    touches = np.isfinite(first) & np.isfinite(last) & (last >= 0) & (first < size)
    return (
        np.where(touches, np.clip(first, 0, None), 0).astype(np.int64),
        np.where(touches, np.clip(last, None, size - 1), -1).astype(np.int64),
    )
