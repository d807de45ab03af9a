"""NumPy versions of compiled kernels, which must give the same bits: the same products, added in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.projection import Coordinates
from ardcube.raster.decode import SourcePixels
from ardcube.raster.header import Level

LOBES = {"bilinear": 1, "cubic": 2}
"""Half width of a kernel, in source pixels where the source is not downsampled."""
EDGE = 1e-6
"""Source pixels before an edge at which a coordinate belongs to the pixel after that edge."""


def nearest_pixels(at: Coordinates, level: Level) -> NDArray[np.unsignedinteger[Any]]:
    """Return the row and column of the pixel of a level at each coordinate, (2, y, x); outside, the largest number."""
    kind = np.uint16 if max(level.height, level.width) < np.iinfo(np.uint16).max else np.uint32
    t = level.transform
    row, column = np.floor((at.y - t.f) / t.e + EDGE), np.floor((at.x - t.c) / t.a + EDGE)
    inside = (row >= 0) & (column >= 0) & (row < level.height) & (column < level.width)
    with np.errstate(invalid="ignore"):
        return np.where(inside, (row, column), np.iinfo(kind).max).astype(kind)


def resample_into(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    resampling: str,
) -> None:
    """Fill the wanted pixels of some bands that are still 0, as `ardcube.pixels.resample` does."""
    if resampling == "nearest":
        _take_nearest(out, bands, wanted, nearest_pixels(at, source.blocks.level), source)
    else:
        _fill_weighted(out, bands, wanted, at, source, LOBES[resampling])


def _take_nearest(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    pixels: NDArray[np.unsignedinteger[Any]],
    source: SourcePixels,
) -> None:
    height, width, _ = source.values.shape
    rows, columns = (
        index.astype(np.int64) - first
        for index, first in zip(pixels, (source.blocks.row, source.blocks.column), strict=True)
    )
    inside = wanted & (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    for lane, band in enumerate(bands):
        numbers, filled = source.values[rows[inside], columns[inside], lane], out[band]
        take = (numbers != 0) & (numbers != source.encoding.nodata) & (filled[inside] == 0)
        found = numbers[take].astype(np.int64)
        if source.encoding.shift:
            found = np.clip(np.rint(found + source.encoding.shift), 1, 65535)
        filled[tuple(index[take] for index in np.nonzero(inside))] = found.astype(out.dtype)


def _fill_weighted(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    lobes: int,
) -> None:
    """Loop over the kernel's taps, where the compiled kernel loops over pixels."""
    values, row, column = source.values, source.blocks.row, source.blocks.column
    nodata, shift = source.encoding.nodata, source.encoding.shift
    height, width, _ = values.shape
    t = source.blocks.level.transform
    u, v = (at.x[wanted] - t.c) / t.a, (at.y[wanted] - t.f) / t.e
    near_u, near_v = np.floor(u + EDGE).astype(int) - column, np.floor(v + EDGE).astype(int) - row
    inside = (near_u >= 0) & (near_v >= 0) & (near_u < width) & (near_v < height)
    pixels = tuple(index[inside] for index in np.nonzero(wanted))
    u, v, near_u, near_v = u[inside], v[inside], near_u[inside], near_v[inside]
    across = _taps(u, np.maximum(1.0, at.step_x[pixels] * (1.0 / abs(t.a))), lobes, column, column + width - 1)
    down = _taps(v, np.maximum(1.0, at.step_y[pixels] * (1.0 / abs(t.e))), lobes, row, row + height - 1)
    for lane, band in enumerate(bands):
        plane, filled = values[..., lane], out[band]
        nearest = plane[near_v, near_u]
        take = (nearest != 0) & (nearest != nodata) & (filled[pixels] == 0)
        result = _weighted_mean(plane, nodata, (row, column), across, down, take, nearest[take].astype(float))
        if shift:
            result = np.clip(np.rint(result + shift), 1.0, 65535.0)
        filled[tuple(index[take] for index in pixels)] = result.astype(out.dtype)


Taps = tuple[NDArray[np.int64], NDArray[np.float64]]
"""First tap, and the weights (pixel, tap), of each pixel along one axis."""


def _taps(centre: NDArray[np.float64], width: NDArray[np.float64], lobes: int, first: int, last: int) -> Taps:
    """Return the taps of each pixel within `first..last`; the weights after its last tap are 0."""
    start = np.maximum(first, np.floor(centre - 0.5 - width * lobes).astype(np.int64) + 1)
    stop = np.minimum(last, np.floor(centre - 0.5 + width * lobes).astype(np.int64)) + 1
    taps = start[:, None] + np.arange(max(0, int((stop - start).max(initial=0))))
    weights = _weights(np.abs(taps + 0.5 - centre[:, None]), width[:, None], lobes)
    return start, np.where(taps < stop[:, None], weights, 0.0)


def _weights(distance: NDArray[np.float64], width: NDArray[np.float64], lobes: int) -> NDArray[np.float64]:
    if lobes == 1:
        return width - distance
    distance = distance * (1.0 / width)
    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance <= 1.0, near, far)


def _weighted_mean(
    plane: NDArray[Any],
    nodata: int,
    corner: tuple[int, int],
    across: Taps,
    down: Taps,
    take: NDArray[np.bool_],
    nearest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the weighted mean of the valid taps of the pixels in `take`, rounded half to even."""
    (u0, weights_u), (v0, weights_v) = ((start[take], weights[take]) for start, weights in (across, down))
    total, weights = np.zeros(len(u0)), np.zeros(len(u0))
    for m in range(weights_u.shape[1]):
        columns = np.minimum(u0 - corner[1] + m, plane.shape[1] - 1)
        column_sum, column_weights = np.zeros(len(u0)), np.zeros(len(u0))
        for k in range(weights_v.shape[1]):
            value = plane[np.minimum(v0 - corner[0] + k, plane.shape[0] - 1), columns]
            weight = np.where((value != 0) & (value != nodata), weights_v[:, k], 0.0)
            column_sum += weight * value
            column_weights += weight
        total += weights_u[:, m] * column_sum
        weights += weights_u[:, m] * column_weights
    # The lobes of a cubic kernel may cancel next to a hole.
    mean = np.divide(total, weights, out=nearest.copy(), where=weights != 0.0)
    rounded: NDArray[np.float64] = np.clip(np.rint(mean), 1.0, 65535.0)
    return rounded
