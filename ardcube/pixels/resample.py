"""The resampler of the pixel contract: what one output pixel sees of one source raster.

Everything depends on the output pixel alone, never on the window it is computed in: coordinates come from
global indices (`projection`), the kernel's width from the Jacobian at that pixel. The compiled and the plain NumPy
way give the same bits, since both add the same products in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.kernels.available import COMPILED
from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits
from ardcube.pixels.projection import CELL, ROWS, Coordinates, Projection, pixels_at
from ardcube.raster.decode import SourcePixels
from ardcube.raster.header import Blocks, Level

_KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}


def needed_blocks(projection: Projection, wanted: Bits, level: Level, resampling: str) -> Blocks | None:
    """The part of a level that the kernels of the wanted pixels reach; None where they reach nothing of it.

    Parameters
    ----------
    projection : Projection
        Of the output window.
    wanted : Bits
        Output pixels that are to be computed.
    level : Level
        Of the source.
    resampling : str
        `nearest`, `bilinear` or `cubic`.
    """
    reach = projection.reach(level, _KERNELS[resampling])
    filled = wanted[::CELL].copy()
    for first in range(1, CELL):  # ten times faster than `reduceat`
        row_of_cells = wanted[first::CELL]
        filled[: len(row_of_cells)] |= row_of_cells
    cells = np.flatnonzero((filled != 0) & reach.there)
    if not len(cells):
        return None
    parts = np.zeros(len(reach.blocks), bool)
    parts[reach.part[cells]] = True
    first_row, last_row, first_col, last_col = reach.blocks[parts].T
    # One more from the first corner on and one less beyond the others; added up, how many parts lie over each block.
    over = np.zeros([count + 1 for count in level.blocks], np.int64)
    for rows, cols, change in (
        (first_row, first_col, 1),
        (first_row, last_col + 1, -1),
        (last_row + 1, first_col, -1),
        (last_row + 1, last_col + 1, 1),
    ):
        np.add.at(over, (rows, cols), change)
    needed = over.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
    top, bottom, left, right = reach.pixels.take(cells, axis=1)
    row, column = int(top.min()), int(left.min())
    return Blocks(needed, row, column, int(bottom.max()) + 1 - row, int(right.max()) + 1 - column)


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
    if COMPILED and resampling == "bilinear":
        wanted = _fill_where_all_is_valid(out, bands, wanted, projection, source, level, shift)
        if not wanted.any():
            return
    for top in range(0, wanted.shape[0], ROWS):
        rows = slice(top, top + ROWS)
        if wanted[rows].any():
            at = projection.coordinates(rows, wanted[rows])
            resample_into(out[:, rows], bands, wanted[rows], at, source, level, resampling=resampling, shift=shift)


def _fill_where_all_is_valid(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    projection: Projection,
    source: SourcePixels,
    level: Level,
    shift: int,
) -> NDArray[np.bool_]:
    """Resample the pixels whose taps are all valid; which of the others are wanted, (y, x)."""
    from ardcube.kernels import bilinear  # numba takes a second to import

    fill: Callable[..., None] = bilinear.fill
    t, p = level.transform, projection
    # Lanes beyond the bands repeat the first one, which is filled by then.
    planes = [out[band] for band in [*bands, *[bands[0]] * (LANES - len(bands))]]
    left = np.zeros_like(wanted)
    fill(
        *planes, wanted, left, p.nodes_x, p.nodes_y, p.row, p.column, p.step, p.window.y0, p.window.x0,
        source.values, source.holes, source.row, source.column, t.c, t.a, t.f, t.e, source.nodata, shift,
    )  # fmt: skip
    return left


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
    out : uint16 (band, y, x)
        Changed in place; 0 where no source gave a value. For nearest pixels also uint8.
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
        from ardcube.kernels import sampling  # numba takes a second to import

        rows, columns = pixels
        place = source.row, source.column
        sampling.nearest(out, bands, wanted, rows, columns, source.values, *place, source.nodata, shift)
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
    """What `_fill_plain` does, compiled: it looks at each tap."""
    from ardcube.kernels import sampling  # numba takes a second to import

    t, place = level.transform, (source.row, source.column)
    sampling.weighted(
        out, bands, wanted, at.x, at.y, at.step_x, at.step_y, source.values, *place, t.c, t.a, t.f, t.e,
        _KERNELS[resampling], source.nodata, shift,
    )  # fmt: skip


def _weigh(distance: NDArray[np.float64], width: NDArray[np.float64], kernel: int) -> NDArray[np.float64]:
    """What `kernels.weigh` does, for arrays."""
    if kernel == 1:
        return width - distance
    distance = distance * (1.0 / width)
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
    weights = _weigh(np.abs(taps + 0.5 - centre[:, None]), width[:, None], kernel)
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
    across = _taps(u, np.maximum(1.0, at.step_x[pixels] * (1.0 / abs(t.a))), kernel, column, column + width - 1)
    down = _taps(v, np.maximum(1.0, at.step_y[pixels] * (1.0 / abs(t.e))), kernel, row, row + height - 1)
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
    for m in range(weights_u.shape[1]):
        columns = np.minimum(u0 - column + m, plane.shape[1] - 1)
        part, part_weights = np.zeros(len(u0)), np.zeros(len(u0))
        for k in range(weights_v.shape[1]):
            value = plane[np.minimum(v0 - row + k, plane.shape[0] - 1), columns]
            weight = np.where((value != 0) & (value != nodata), weights_v[:, k], 0.0)
            part += weight * value
            part_weights += weight
        total += weights_u[:, m] * part
        weights += weights_u[:, m] * part_weights
    # The lobes of a cubic kernel may cancel beside a hole.
    known = weights != 0.0
    mean = np.divide(total, weights, out=nearest.copy(), where=known)
    rounded: NDArray[np.float64] = np.clip(np.rint(mean), 1.0, 65535.0)
    return rounded
