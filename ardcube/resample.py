"""The resampler of the pixel contract: what one output pixel sees of one source raster.

Everything depends on the output pixel alone, never on the window it is computed in: coordinates come from
global indices, the kernel's width from the Jacobian at that pixel. The compiled and the plain NumPy way give the same
bits, since both add the same products in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.compiled import COMPILED
from ardcube.grid import Grid, Window
from ardcube.pixels import HOLE_CELL, LANES, SourcePixels
from ardcube.raster import Blocks, Level

NODE_STEP = 32
"""Most output pixels between exactly projected nodes."""

_NODE_SPAN_DEGREES = 0.02
"""Nodes stand at most this far apart, about 2 km. Cubic interpolation in between is then right to 1e-6 m, whatever
the cube's resolution (docs/decisions/0002-own-resampler.md)."""
_CELL = 8
"""Side of the cells, in pixels, by which needed blocks are looked for: one by one would cost as much as resampling."""
_ROWS = 32
"""Rows that are resampled at once: their coordinates stay in the processor's cache."""
_KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where pixels lie in a source CRS; arrays float64 (y, x)."""

    x: NDArray[np.float64]
    """Easting of the pixel centre, in CRS units."""
    y: NDArray[np.float64]
    """Northing of the pixel centre, in CRS units."""
    step_x: NDArray[np.float64]
    """Change of easting over one output pixel: length of the Jacobian's row, in CRS units."""
    step_y: NDArray[np.float64]
    """Change of northing over one output pixel, in CRS units."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A window of the grid in a source CRS.

    Nodes on a lattice of global pixel indices are projected exactly; in between, coordinates are interpolated with
    cubic Lagrange polynomials, first along the columns of nodes, then along the row. The lattice belongs to the grid,
    so windows agree to the bit where they overlap.
    """

    window: Window
    step: int
    """Pixels from node to node."""
    row: int
    """Index of the first row of nodes, in steps from the grid's first pixel."""
    column: int
    nodes_x: NDArray[np.float64]
    """Easting of the nodes, in CRS units (row, column)."""
    nodes_y: NDArray[np.float64]
    """Northing of the nodes, in CRS units."""
    _cells: list[NDArray[np.float64]] = field(default_factory=list)
    _pixels: dict[Level, NDArray[np.unsignedinteger[Any]]] = field(default_factory=dict)

    def crop(self, window: Window) -> Projection:
        """The projection of a window within this one; shares the nodes."""
        return Projection(window, self.step, self.row, self.column, self.nodes_x, self.nodes_y)

    def coordinates(
        self, rows: slice = slice(None), wanted: NDArray[np.bool_] | None = None, *, steps: bool = True
    ) -> Coordinates:
        """Interpolate the coordinates of some rows of the window.

        Parameters
        ----------
        rows : slice
            Of the window.
        wanted : bool (y, x)
            Of these rows; far from what is wanted anything may stand, but no step that is larger than others.
        steps : bool
            Whether to work out the steps; without, they are of shape (0, 0).
        """
        start, stop, _ = rows.indices(self.window.shape[0])
        if not COMPILED:
            i = np.arange(self.window.y0 + start, self.window.y0 + stop)
            return Coordinates(*self._located(i, np.arange(self.window.x0, self.window.x1)))
        from ardcube.kernels import locate  # numba takes a second to import

        shape = max(0, stop - start), self.window.shape[1]
        if wanted is None:
            wanted = np.ones(shape, bool)
        found = Coordinates(*np.empty((2, *shape)), *np.empty((2, *(shape if steps else (0, 0)))))
        locate(
            self.nodes_x, self.nodes_y, self.row, self.column, self.step, self.window.y0 + start, self.window.x0,
            wanted, found.x, found.y, found.step_x, found.step_y,
        )  # fmt: skip
        return found

    def pixels(self, level: Level) -> NDArray[np.unsignedinteger[Any]]:
        """What `pixels_at` says of the whole window; worked out once, since all scenes of a granule share a grid."""
        if level not in self._pixels:
            found = np.empty((2, *self.window.shape), _index_type(level))
            for top in range(0, self.window.shape[0], _ROWS):
                rows = slice(top, top + _ROWS)
                found[:, rows] = pixels_at(self.coordinates(rows, steps=False), level)
            self._pixels[level] = found
        return self._pixels[level]

    def cells(self) -> NDArray[np.float64]:
        """Bounds of cells of `_CELL` pixels: least and largest x, y, and the largest steps; (bound, row, column).

        The corners of a cell bound its coordinates to far less than the source pixel that users add for them to bend.
        """
        if not self._cells:
            rows, cols = (np.append(np.arange(0, size, _CELL), size - 1) for size in self.window.shape)
            corners = np.stack(self._located(self.window.y0 + rows, self.window.x0 + cols))
            ends = slice(None, -1), slice(1, None)
            four = np.stack([corners[:, row, column] for row in ends for column in ends])
            (x0, y0, *_), (x1, y1, *steps) = four.min(axis=0), four.max(axis=0)
            bounds = x0, x1, y0, y1, *steps
            self._cells.append(np.stack(bounds))
        return self._cells[0]

    def _located(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """What `kernels.locate` does, for global rows and columns of pixels: x, y and both steps, (i, j)."""
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
        places, steps = [], []
        for nodes in (self.nodes_x, self.nodes_y):
            along = [_sum(weights, nodes, first), _sum(slopes, nodes, first)]
            (c0, c1, c2, c3), (d0, d1, d2, d3) = (_cubic(line, column) for line in along)
            places.append(((c3 * t + c2) * t + c1) * t + c0)
            right = (3 * c3 / step * t + 2 * c2 / step) * t + c1 / step
            down = ((d3 * t + d2) * t + d1) * t + d0
            steps.append(np.sqrt(right * right + down * down))
        return places[0], places[1], steps[0], steps[1]


def project(grid: Grid, window: Window, crs: str) -> Projection:
    """Project the nodes around `window` to `crs`."""
    step = max(1, min(NODE_STEP, int(_NODE_SPAN_DEGREES / grid.resolution)))
    row, column = window.y0 // step - 1, window.x0 // step - 1
    rows = np.arange(row, (window.y1 - 1) // step + 3) * step
    cols = np.arange(column, (window.x1 - 1) // step + 3) * step
    lon, lat = np.meshgrid(grid.longitude(cols), grid.latitude(rows))
    x, y = _transformer(crs).transform(lon, lat)
    return Projection(window, step, row, column, x, y)


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def _sum(
    weights: Sequence[NDArray[np.float64]], nodes: NDArray[np.float64], first: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Weighted sum of four rows of nodes for each row of pixels, term by term."""
    total = weights[0] * nodes[first]
    for k in range(1, 4):
        total = total + weights[k] * nodes[first + k]
    return total


def _cubic(line: NDArray[np.float64], first: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """What `kernels._cubic` does, for arrays (row, column of nodes)."""
    a, b, c, d = (line[:, first + k] for k in range(4))
    return b, c - a / 3 - b / 2 - d / 6, (a + c) / 2 - b, (d - a) / 6 + (b - c) / 2


def pixels_at(at: Coordinates, level: Level) -> NDArray[np.unsignedinteger[Any]]:
    """Row and column of the pixel of a level that each place lies in, (2, y, x); beyond it, the type's largest number.

    16 bits where they are enough.
    """
    transform, kind = level.transform, _index_type(level)
    row, column = np.floor((at.y - transform.f) / transform.e), np.floor((at.x - transform.c) / transform.a)
    inside = (row >= 0) & (column >= 0) & (row < level.height) & (column < level.width)
    return np.where(inside, (row, column), np.iinfo(kind).max).astype(kind)


def _index_type(level: Level) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if max(level.height, level.width) < np.iinfo(np.uint16).max else np.uint32


def needed_blocks(projection: Projection, wanted: NDArray[np.bool_], level: Level, resampling: str) -> Blocks | None:
    """The part of a level that the kernels of the wanted pixels reach; None where they reach nothing of it.

    Parameters
    ----------
    projection : Projection
        Of the output window.
    wanted : bool (y, x)
        Output pixels that are to be computed.
    level : Level
        Of the source.
    resampling : str
        `nearest`, `bilinear` or `cubic`.
    """
    transform, kernel = level.transform, _KERNELS[resampling]
    touched = np.zeros(level.blocks, bool)
    bounds = np.array([level.height, -1, level.width, -1])
    way: Callable[..., None] = _reach_plain
    if COMPILED:
        from ardcube import kernels  # numba takes a second to import

        way = kernels.reach
    way(
        wanted, projection.cells(), _CELL,
        transform.c, transform.a, level.width, transform.f, transform.e, level.height,
        kernel, *level.block, touched, bounds,
    )  # fmt: skip
    first_row, last_row, first_col, last_col = (int(bound) for bound in bounds)
    if last_row < 0:
        return None
    return Blocks(touched, first_row, first_col, last_row + 1 - first_row, last_col + 1 - first_col)


def _reach_plain(  # type: ignore[no-untyped-def]
    wanted, cells, cell, c, a, width, f, e, height, kernel, block_rows, block_cols, touched, bounds
) -> None:
    """What `kernels.reach` does, in NumPy alone."""
    rows, cols = (np.arange(0, size, cell) for size in wanted.shape)
    filled = np.logical_or.reduceat(np.logical_or.reduceat(wanted, rows, axis=0), cols, axis=1)
    left, right = _reached(cells[0], cells[1], c, a, kernel, cells[4], width)
    top, bottom = _reached(cells[2], cells[3], f, e, kernel, cells[5], height)
    filled &= (left <= right) & (top <= bottom)
    if not filled.any():
        return
    top, bottom, left, right = (side[filled] for side in (top, bottom, left, right))
    bounds[:] = top.min(), bottom.max(), left.min(), right.max()
    spans = np.stack([top // block_rows, bottom // block_rows, left // block_cols, right // block_cols], axis=1)
    for first_row, last_row, first_col, last_col in np.unique(spans, axis=0):
        touched[first_row : last_row + 1, first_col : last_col + 1] = True


def _reached(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    origin: float,
    size: float,
    kernel: int,
    step: NDArray[np.float64],
    pixels: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What `kernels._reached` does, for arrays."""
    margin = kernel * np.maximum(1.0, step / abs(size)) + 1.5
    ends = (low - origin) / size, (high - origin) / size
    first, last = np.floor(np.minimum(*ends) - margin), np.floor(np.maximum(*ends) + margin)
    there = np.isfinite(first) & np.isfinite(last) & (last >= 0) & (first < pixels)
    return (
        np.where(there, np.clip(first, 0, None), 0).astype(np.int64),
        np.where(there, np.clip(last, None, pixels - 1), -1).astype(np.int64),
    )


def resample_window(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    projection: Projection,
    source: SourcePixels,
    level: Level,
    *,
    resampling: str,
    shift: int = 0,
) -> None:
    """Do what `resample_into` does for all rows of a window, a few at a time."""
    if resampling == "nearest":
        _take(out, np.array(bands, np.int64), wanted, projection.pixels(level), source, shift)
        return
    for top in range(0, wanted.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        if wanted[rows].any():
            at = projection.coordinates(rows, wanted[rows])
            resample_into(out[:, rows], bands, wanted[rows], at, source, level, resampling=resampling, shift=shift)


def resample_into(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    level: Level,
    *,
    resampling: str,
    shift: int = 0,
) -> None:
    """Fill the wanted pixels of some bands that are still 0 from one source; the first valid source wins.

    Parameters
    ----------
    out : uint16 or uint8 (band, y, x)
        Changed in place; 0 where no source gave a value.
    bands : sequence of int
        Positions in `out` of the lanes of `source`, of which there may be more.
    wanted : bool (y, x)
        Pixels to compute.
    at : Coordinates
        Of the output pixels.
    source : SourcePixels
        Must hold all that `needed_blocks` names.
    level : Level
        Of the source.
    resampling : str
        `nearest`; `bilinear`, a triangle of half width max(1, source pixels per output pixel) per axis; or
        `cubic`, Keys' kernel (1981, a = -0.5) stretched likewise. Weights are renormalised over valid pixels.
    shift : int
        Added to every value, which stays within 1..65535.
    """
    lanes = np.array(bands, np.int64)
    if resampling == "nearest":
        _take(out, lanes, wanted, pixels_at(at, level), source, shift)
        return
    fill = _fill_compiled if COMPILED else _fill_plain
    fill(out, lanes, wanted, at, source, level, resampling, shift)


def _take(
    out: NDArray[Any],
    bands: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    pixels: NDArray[np.unsignedinteger[Any]],
    source: SourcePixels,
    shift: int,
) -> None:
    """Take nearest pixels, whose rows and columns are `pixels`."""
    if COMPILED:
        from ardcube import kernels  # numba takes a second to import

        rows, columns = pixels
        place = source.row, source.column
        kernels.nearest(out, bands, wanted, rows, columns, source.values, *place, source.nodata, shift)
        return
    height, width, _ = source.values.shape
    rows, columns = (
        index.astype(np.int64) - first for index, first in zip(pixels, (source.row, source.column), strict=True)
    )
    there = wanted & (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    for lane, band in enumerate(bands):
        numbers, filled = source.values[rows[there], columns[there], lane], out[band]
        take = (numbers != 0) & (numbers != source.nodata) & (filled[there] == 0)
        found = numbers[take].astype(np.int64)
        if shift:
            found = np.clip(found + shift, 1, 65535)
        filled[tuple(index[take] for index in np.nonzero(there))] = found.astype(out.dtype)


def _fill_compiled(
    out: NDArray[Any],
    bands: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    level: Level,
    resampling: str,
    shift: int,
) -> None:
    """The fast way where all taps are valid, then the one that looks at each of them."""
    from ardcube import kernels  # numba takes a second to import

    t, values = level.transform, source.values
    place = source.row, source.column, t.c, t.a, t.f, t.e
    where, steps = (at.x, at.y), (at.step_x, at.step_y)
    if resampling == "bilinear":
        taps = [math.ceil(2 * max(1.0, step.max() / abs(size))) for step, size in zip(steps, (t.a, t.e), strict=True)]
        # Kernels of more than a cell would reach holes that the cells beside theirs do not know of.
        if max(taps) <= HOLE_CELL:
            left = np.zeros_like(wanted)
            if values.shape[2] == 1:
                fast: Callable[..., None] = kernels.bilinear_one
                planes = [out[bands[0]]]
            else:
                fast = kernels.bilinear_four
                # Lanes beyond the bands repeat the first one, which is filled by then.
                planes = [out[band] for band in [*bands, *[bands[0]] * (LANES - len(bands))]]
            fast(*planes, wanted, left, *where, *steps, *taps, values, source.holes, *place, shift)
            wanted = left
    if wanted.any():
        kernel = _KERNELS[resampling]
        kernels.weighted(out, bands, wanted, *where, *steps, values, *place, kernel, source.nodata, shift)


def _weigh(distance: NDArray[np.float64], kernel: int) -> NDArray[np.float64]:
    """What `kernels.weigh` does, for arrays."""
    if kernel == 1:
        return 1.0 - distance
    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance <= 1.0, near, far)


_Taps = tuple[NDArray[np.int64], NDArray[np.float64]]
"""First tap, and the weights (n, most taps), of each pixel along one axis."""


def _taps(centre: NDArray[np.float64], width: NDArray[np.float64], kernel: int, first: int, last: int) -> _Taps:
    """Taps within `first..last` of each pixel; weights are 0 beyond a pixel's last one."""
    start = np.maximum(first, np.floor(centre - 0.5 - width * kernel).astype(np.int64) + 1)
    stop = np.minimum(last, np.floor(centre - 0.5 + width * kernel).astype(np.int64)) + 1
    taps = start[:, None] + np.arange(max(0, int((stop - start).max(initial=0))))
    weights = _weigh(np.abs(taps + 0.5 - centre[:, None]) * (1.0 / width)[:, None], kernel)
    return start, np.where(taps < stop[:, None], weights, 0.0)


def _fill_plain(
    out: NDArray[Any],
    bands: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    level: Level,
    resampling: str,
    shift: int,
) -> None:
    """What `_fill_compiled` does, in NumPy alone: a loop over the kernel's taps in place of one over pixels."""
    values, row, column, nodata = source.values, source.row, source.column, source.nodata
    height, width, _ = values.shape
    t, kernel = level.transform, _KERNELS[resampling]
    u, v = (at.x[wanted] - t.c) / t.a, (at.y[wanted] - t.f) / t.e
    near_u, near_v = np.floor(u).astype(int) - column, np.floor(v).astype(int) - row
    inside = (near_u >= 0) & (near_v >= 0) & (near_u < width) & (near_v < height)
    pixels = tuple(index[inside] for index in np.nonzero(wanted))
    u, v, near_u, near_v = u[inside], v[inside], near_u[inside], near_v[inside]
    across = _taps(u, np.maximum(1.0, at.step_x[pixels] / abs(t.a)), kernel, column, column + width - 1)
    down = _taps(v, np.maximum(1.0, at.step_y[pixels] / abs(t.e)), kernel, row, row + height - 1)
    for b in range(len(bands)):
        plane, filled = values[..., b], out[bands[b]]
        nearest = plane[near_v, near_u]
        take = (nearest != 0) & (nearest != nodata) & (filled[pixels] == 0)
        result = _weighted(plane, nodata, row, column, across, down, take, nearest[take].astype(float))
        if shift:
            result = np.clip(result + shift, 1.0, 65535.0)
        filled[tuple(index[take] for index in pixels)] = result.astype(out.dtype)


def _weighted(
    plane: NDArray[Any],
    nodata: int,
    row: int,
    column: int,
    across: _Taps,
    down: _Taps,
    take: NDArray[np.bool_],
    nearest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weighted mean of the valid taps of the pixels in `take`, rounded half to even; sums in the compiled order."""
    (u0, weights_u), (v0, weights_v) = ((start[take], weights[take]) for start, weights in (across, down))
    total, weights = np.zeros(len(u0)), np.zeros(len(u0))
    for k in range(weights_v.shape[1]):
        rows = np.minimum(v0 - row + k, plane.shape[0] - 1)
        line, line_weights = np.zeros(len(u0)), np.zeros(len(u0))
        for m in range(weights_u.shape[1]):
            value = plane[rows, np.minimum(u0 - column + m, plane.shape[1] - 1)]
            weight = np.where((value != 0) & (value != nodata), weights_u[:, m], 0.0)
            line += weight * value
            line_weights += weight
        total += weights_v[:, k] * line
        weights += weights_v[:, k] * line_weights
    # The lobes of a cubic kernel may cancel beside a hole.
    known = weights != 0.0
    mean = np.divide(total, weights, out=nearest.copy(), where=known)
    rounded: NDArray[np.float64] = np.clip(np.rint(mean), 1.0, 65535.0)
    return rounded
