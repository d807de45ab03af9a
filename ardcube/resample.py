"""The resampler of the pixel contract: what one output pixel sees of one source raster.

Everything depends on the output pixel alone, never on the window it is computed in: coordinates come from
global indices, the kernel's width from the Jacobian at that pixel. The compiled and the plain NumPy way give the same
bits, since both add the same products in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.compiled import COMPILED
from ardcube.grid import Grid, Window
from ardcube.raster import Blocks, Level

NODE_STEP = 32
"""Output pixels between exactly projected nodes. Cubic interpolation between nodes of up to 20 km spacing is right
to about a millimetre, a ten-thousandth of a source pixel (see docs/decisions/0003-resampler.md)."""

_CELL = 8
"""Side of the cells, in pixels, by which needed blocks are looked for: one by one would cost as much as resampling."""
_KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}
_NODE_SPAN_DEGREES = 0.02
"""Nodes stand at most this far apart, about 2 km. Cubic interpolation in between is then right to 1e-6 m, whatever
the cube's resolution (docs/decisions/0002-own-resampler.md)."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Where the pixels of a window lie in a source CRS; arrays float64 (y, x)."""

    x: NDArray[np.float64]
    """Easting of the pixel centre, in CRS units."""
    y: NDArray[np.float64]
    """Northing of the pixel centre, in CRS units."""
    step_x: NDArray[np.float64]
    """Change of easting over one output pixel: length of the Jacobian's row, in CRS units."""
    step_y: NDArray[np.float64]
    """Change of northing over one output pixel, in CRS units."""

    def crop(self, core: tuple[slice, slice]) -> Projection:
        """The part of some rows and columns; a view."""
        return Projection(self.x[core], self.y[core], self.step_x[core], self.step_y[core])


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def project(grid: Grid, window: Window, crs: str) -> Projection:
    """Project the pixel centres of `window` to `crs`.

    Nodes on a lattice of global pixel indices are projected exactly and interpolated with cubic
    Lagrange polynomials in between; the lattice belongs to the grid, so neighbouring windows agree to the bit.
    """
    step = max(1, min(NODE_STEP, int(_NODE_SPAN_DEGREES / grid.resolution)))
    rows, row_weights, row_slopes = _cubic(window.y0, window.y1, step)
    cols, col_weights, col_slopes = _cubic(window.x0, window.x1, step)
    node_rows = np.arange(rows[0], rows[-1] + 4) * step
    node_cols = np.arange(cols[0], cols[-1] + 4) * step
    lon, lat = np.meshgrid(grid.longitude(node_cols), grid.latitude(node_rows))
    rows, cols = rows - rows[0], cols - cols[0]
    result: list[NDArray[np.float64]] = []
    steps: list[NDArray[np.float64]] = []
    for nodes in _transformer(crs).transform(lon, lat):
        along_x = _blend(nodes, cols, col_weights, axis=1)
        result.append(_blend(along_x, rows, row_weights, axis=0))
        per_row = _blend(along_x, rows, row_slopes, axis=0)
        per_col = _blend(_blend(nodes, cols, col_slopes, axis=1), rows, row_weights, axis=0)
        steps.append(np.sqrt(per_row * per_row + per_col * per_col))
    return Projection(result[0], result[1], steps[0], steps[1])


def _cubic(start: int, stop: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """For each global index: the first of its four nodes, their weights (n, 4) and the weights' slopes per pixel."""
    index = np.arange(start, stop)
    cell = index // step
    t = (index - cell * step) / step
    weights = np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )
    slopes = np.stack(
        [
            -(3 * t * t - 6 * t + 2) / 6,
            (3 * t * t - 4 * t - 1) / 2,
            -(3 * t * t - 2 * t - 2) / 2,
            (3 * t * t - 1) / 6,
        ],
        axis=1,
    )
    return cell - 1, weights, slopes / step


def _blend(
    nodes: NDArray[np.float64], first: NDArray[np.int64], weights: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Weighted sum of four neighbours along `axis`; added term by term, so that it does not depend on the shape."""
    shape = (-1, 1) if axis == 0 else (1, -1)
    total = weights[:, 0].reshape(shape) * np.take(nodes, first, axis=axis)
    for k in range(1, 4):
        total += weights[:, k].reshape(shape) * np.take(nodes, first + k, axis=axis)
    return total


def needed_blocks(
    projection: Projection, wanted: NDArray[np.bool_], level: Level, resampling: str
) -> NDArray[np.bool_]:
    """Blocks of a level that the kernels of the wanted pixels reach: bool (block row, block column).

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
    touched = np.zeros(level.blocks, bool)
    rows, cols = (np.arange(0, size, _CELL) for size in wanted.shape)
    filled = np.logical_or.reduceat(np.logical_or.reduceat(wanted, rows, axis=0), cols, axis=1)
    i, j = np.nonzero(filled)
    if not len(i):
        return touched
    # The corners of a cell bound its coordinates to far less than the pixel that is added for them to bend.
    corners = [
        (y, x)
        for y in (rows[i], np.minimum(rows[i] + _CELL, wanted.shape[0]) - 1)
        for x in (cols[j], np.minimum(cols[j] + _CELL, wanted.shape[1]) - 1)
    ]
    transform = level.transform
    u = (np.stack([projection.x[corner] for corner in corners]) - transform.c) / transform.a
    v = (np.stack([projection.y[corner] for corner in corners]) - transform.f) / transform.e
    steps_x, steps_y = (np.stack([s[corner] for corner in corners]) for s in (projection.step_x, projection.step_y))
    reach_u = _KERNELS[resampling] * np.maximum(1.0, steps_x.max(axis=0) / abs(transform.a)) + 1.5
    reach_v = _KERNELS[resampling] * np.maximum(1.0, steps_y.max(axis=0) / abs(transform.e)) + 1.5
    height, width = level.block
    spans = np.stack(
        [
            np.clip(np.floor(v.min(axis=0) - reach_v), -1, level.height) // height,
            np.clip(np.floor(v.max(axis=0) + reach_v), -1, level.height - 1) // height,
            np.clip(np.floor(u.min(axis=0) - reach_u), -1, level.width) // width,
            np.clip(np.floor(u.max(axis=0) + reach_u), -1, level.width - 1) // width,
        ],
        axis=1,
    )
    for top, bottom, left, right in np.unique(spans[np.isfinite(spans).all(axis=1)], axis=0).astype(int):
        touched[max(0, top) : bottom + 1, max(0, left) : right + 1] = True
    return touched


def resample_into(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    projection: Projection,
    values: NDArray[Any],
    blocks: Blocks,
    level: Level,
    *,
    resampling: str,
    nodata: int = 0,
    shift: int = 0,
) -> None:
    """Fill the wanted pixels of some bands that are still 0 from one source; the first valid source wins.

    Parameters
    ----------
    out : uint16 or uint8 (band, y, x)
        Changed in place; 0 where no source gave a value.
    bands : sequence of int
        Positions in `out` of the bands in `values`.
    wanted : bool (y, x)
        Pixels to compute.
    projection : Projection
        Of the output window.
    values : uint16 or uint8 (row, column, band)
        Digital numbers of the window of `blocks`; bands of one grid share coordinates and weights.
    blocks : Blocks
        Must hold all that `needed_blocks` names.
    level : Level
        Of the source.
    resampling : str
        `nearest`; `bilinear`, a triangle of half width max(1, source pixels per output pixel) per axis; or
        `cubic`, Keys' kernel (1981, a = -0.5) stretched likewise. Weights are renormalised over valid pixels.
    nodata : int
        A digital number that is no data, besides 0.
    shift : int
        Added to every value, which stays within 1..65535.
    """
    way = _fill_plain
    if COMPILED:
        from ardcube.kernels import fill as way  # (numba takes a second to import)
    transform = level.transform
    way(
        out, np.array(bands, np.int64), wanted, projection.x, projection.y, projection.step_x, projection.step_y,
        values, blocks.row, blocks.column,
        transform.c, transform.a, transform.f, transform.e,
        _KERNELS[resampling], nodata, shift,
    )  # fmt: skip


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
    start = np.maximum(first, np.ceil(centre - 0.5 - width * kernel).astype(np.int64))
    stop = np.minimum(last, np.floor(centre - 0.5 + width * kernel).astype(np.int64)) + 1
    taps = start[:, None] + np.arange(max(0, int((stop - start).max(initial=0))))
    weights = _weigh(np.abs(taps + 0.5 - centre[:, None]) / width[:, None], kernel)
    return start, np.where(taps < stop[:, None], weights, 0.0)


def _fill_plain(  # type: ignore[no-untyped-def]
    out, bands, wanted, xs, ys, steps_x, steps_y, values, row, column, c, a, f, e, kernel, nodata, shift
) -> None:
    """What `kernels.fill` does, in NumPy alone: a loop over the kernel's taps in place of one over pixels."""
    height, width, count = values.shape
    u, v = (xs[wanted] - c) / a, (ys[wanted] - f) / e
    near_u, near_v = np.floor(u).astype(int) - column, np.floor(v).astype(int) - row
    inside = (near_u >= 0) & (near_v >= 0) & (near_u < width) & (near_v < height)
    at = tuple(index[inside] for index in np.nonzero(wanted))
    u, v, near_u, near_v = u[inside], v[inside], near_u[inside], near_v[inside]
    if kernel:
        across = _taps(u, np.maximum(1.0, steps_x[at] / abs(a)), kernel, column, column + width - 1)
        down = _taps(v, np.maximum(1.0, steps_y[at] / abs(e)), kernel, row, row + height - 1)
    for b in range(count):
        plane, filled = values[..., b], out[bands[b]]
        nearest = plane[near_v, near_u]
        take = (nearest != 0) & (nearest != nodata) & (filled[at] == 0)
        result = nearest[take].astype(float)
        if kernel:
            result = _weighted(plane, nodata, row, column, across, down, take, result)
        if shift:
            result = np.clip(result + shift, 1.0, 65535.0)
        filled[tuple(index[take] for index in at)] = result.astype(out.dtype)


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
