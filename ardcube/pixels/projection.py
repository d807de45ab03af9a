"""Coordinates of grid pixels in a source CRS, with the same bits in every window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.lattice import Lattice, crs_of, is_same_crs, transformer
from ardcube.extent.window import Window
from ardcube.raster.header import Header, Level

NODE_STEP = 32
"""Largest number of output pixels between two projected nodes."""
_LARGEST_ERROR = 1e-9
"""Error of an interpolated coordinate, in source pixels. It changes no digital number but at a tie of rounding: 1e-7
source pixels changed one of two million."""
_ROUNDING = 8
"""Units in the last place of a coordinate that do not count as an error."""
_PLACES = 5
"""Places on each side of a raster at which the error is measured."""
_MIDDLE = np.array([-1.0, 9.0, 9.0, -1.0]) / 16
"""Weights of four nodes in the middle between the second and the third."""
CELL = 8
"""Side, in pixels, of the cells for which needed blocks are determined, because single pixels would cost as much as
resampling. A byte of `ardcube.pixels.bitmask` is a row of a cell."""
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
    global index 0, so overlapping windows have the same bits, also in different cubes of one grid.
    """

    window: Window
    """In global indices."""
    step: int
    """Number of pixels between two nodes."""
    row: int
    """Index of the first row of nodes, in steps from global index 0."""
    column: int
    """Index of the first column of nodes, in steps from global index 0."""
    nodes_x: NDArray[np.float64]
    """Easting of the nodes, in CRS units (row, column)."""
    nodes_y: NDArray[np.float64]
    """Northing of the nodes, in CRS units (row, column)."""
    _supports: dict[tuple[Level, int, tuple[int, int]], CellSupport] = field(default_factory=dict)
    _pixels: dict[Level, NDArray[np.unsignedinteger[Any]]] = field(default_factory=dict)

    def crop(self, window: Window) -> Projection:
        """Return the projection of a smaller window, in global indices, which shares the nodes."""
        return Projection(window, self.step, self.row, self.column, self.nodes_x, self.nodes_y)

    def coordinates(self, rows: slice = slice(None), wanted: NDArray[np.bool_] | None = None) -> Coordinates:
        """Interpolate the coordinates of some rows of the window.

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
            self.nodes_x, self.nodes_y, self.row, self.column, self.step, self.window.y0 + start, self.window.x0,
            wanted, found.x, found.y, found.step_x, found.step_y,
        )  # fmt: skip
        return found

    def nearest_pixels(self, level: Level) -> NDArray[np.unsignedinteger[Any]]:
        """Return the row and column of the pixel of `level` that holds each pixel centre, (2, y, x).

        Computed once per level, because all scenes of a granule share a grid. Beyond the level both are the largest
        number of the type, which has 16 bits where these are enough.
        """
        if level not in self._pixels:
            self._pixels[level] = self._find_pixels(level)
        return self._pixels[level]

    def _find_pixels(self, level: Level) -> NDArray[np.unsignedinteger[Any]]:
        from ardcube.kernels.interpolate import find_pixels  # numba takes a second to import

        t, kind = level.transform, _index_type(level)
        found = np.empty((2, *self.window.shape), kind)
        find_pixels(
            self.nodes_x, self.nodes_y, self.row, self.column, self.step, self.window.y0, self.window.x0,
            t.c, t.a, t.f, t.e, level.height, level.width, np.iinfo(kind).max, found,
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
        """Interpolate x, y and both steps at global rows `i` and columns `j` of pixels, each (i, j)."""
        step = self.step
        cell, cols = i // step, j // step
        t = ((i - cell * step) / step)[:, None]
        first = cell - 1 - self.row
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
        column = cols - 1 - self.column
        values, steps = [], []
        for nodes in (self.nodes_x, self.nodes_y):
            along = [_sum(weights, nodes, first), _sum(slopes, nodes, first)]
            (c0, c1, c2, c3), (d0, d1, d2, d3) = (_cubic(line, column) for line in along)
            values.append(((c3 * t + c2) * t + c1) * t + c0)
            right = (3 * c3 / step * t + 2 * c2 / step) * t + c1 / step
            down = ((d3 * t + d2) * t + d1) * t + d0
            steps.append(np.sqrt(right * right + down * down))
        return values[0], values[1], steps[0], steps[1]


@dataclass(frozen=True, slots=True)
class SourceAxes:
    """CRS of a source, and the nodes for it. Sources with equal axes share a `Projection`."""

    crs: str
    step: int
    """Number of pixels between two nodes."""
    meridian: float | None = None
    """Longitude in whose neighbourhood longitudes are continuous; None if the CRS is not geographic."""


def project(lattice: Lattice, window: Window, axes: SourceAxes) -> Projection:
    """Project the nodes around a window of a lattice, in global indices."""
    step = axes.step
    row, column = window.y0 // step - 1, window.x0 // step - 1
    rows = np.arange(row, (window.y1 - 1) // step + 3) * step
    columns = np.arange(column, (window.x1 - 1) // step + 3) * step
    x, y = _exact(lattice, axes.crs, axes.meridian, *np.meshgrid(columns, rows))
    return Projection(window, step, row, column, x, y)


def axes_of(lattice: Lattice, header: Header) -> SourceAxes:
    """Choose the distance of nodes for a raster: the largest with which interpolated coordinates are exact enough.

    The error is measured at places all over the raster, in the middle between nodes, where it is largest. The choice
    depends on the raster alone, so that all windows have the same nodes.
    """
    return _axes_of(lattice, header.crs, header.levels[0])


@lru_cache(maxsize=4096)
def _axes_of(lattice: Lattice, crs: str, full: Level) -> SourceAxes:
    if is_same_crs(lattice.crs, crs):
        return SourceAxes(crs, NODE_STEP)
    axes = SourceAxes(crs, NODE_STEP, full.centre[0] if crs_of(crs).is_geographic else None)
    rows, columns = _places(lattice, crs, full)
    while axes.step > 1 and not _is_exact(lattice, axes, full, rows // axes.step, columns // axes.step):
        axes = replace(axes, step=axes.step // 2)
    return axes


def _places(lattice: Lattice, crs: str, full: Level) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of a lattice at places all over a raster: int64 (place,)."""
    shares = np.linspace(0.0, 1.0, _PLACES)
    t, (right, down) = full.transform, np.meshgrid(shares * full.width, shares * full.height)
    first, second = transformer(crs, lattice.crs).transform((t.c + t.a * right).ravel(), (t.f + t.e * down).ravel())
    columns, rows = (first - lattice.x0) / lattice.step_x, (second - lattice.y0) / lattice.step_y
    known = np.isfinite(columns) & np.isfinite(rows)
    return np.floor(rows[known]).astype(np.int64), np.floor(columns[known]).astype(np.int64)


def _is_exact(
    lattice: Lattice, axes: SourceAxes, full: Level, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> bool:
    """Return whether the interpolation in some cells between nodes is exact enough."""
    around = np.arange(-1, 3)
    i, j = (rows[:, None] + around) * axes.step, (columns[:, None] + around) * axes.step
    middle = (columns + 0.5) * axes.step, (rows + 0.5) * axes.step
    with np.errstate(invalid="ignore"):
        nodes = np.stack(_exact(lattice, axes.crs, axes.meridian, *np.broadcast_arrays(j[:, None, :], i[:, :, None])))
        found = np.einsum("cpij,i,j->cp", nodes, _MIDDLE, _MIDDLE)
        exact = np.stack(_exact(lattice, axes.crs, axes.meridian, *middle))
        sides = np.abs([[full.transform.a], [full.transform.e]])
        is_exact = np.abs(found - exact) <= _LARGEST_ERROR * sides + _ROUNDING * np.spacing(exact)
    return bool(is_exact.all())  # false for NaN, where a node cannot be projected


def _exact(
    lattice: Lattice, crs: str, meridian: float | None, columns: NDArray[np.number], rows: NDArray[np.number]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates of pixels of a lattice in a CRS, without interpolation."""
    first, second = lattice.x(columns), lattice.y(rows)
    if is_same_crs(lattice.crs, crs):
        return first, second
    if lattice.is_geographic and meridian is None and np.abs(second).max(initial=0.0) > 90.0:
        first, second = _over_the_pole(first, second)
    x, y = transformer(lattice.crs, crs).transform(first, second)
    return x if meridian is None else x - 360.0 * np.round((x - meridian) / 360.0), y


def _over_the_pole(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places of nodes beyond a pole, on its other side, where a polar projection is smooth."""
    beyond = np.abs(lat) > 90.0
    return np.where(beyond, lon + 180.0, lon), np.where(beyond, np.copysign(180.0, lat) - lat, lat)


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
