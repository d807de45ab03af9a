"""Resample one source raster onto output pixels, as docs/decisions/0002 defines.

The value of an output pixel depends on that pixel alone, never on the window in which it is computed: coordinates come
from global pixel indices (`ardcube.pixels.projection`), and the kernel's width from the Jacobian at the pixel. Sums run
in a fixed order, so that `tests/ardcube/kernels/numpy_kernels.py` gives the same bits in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits, packed, unpacked
from ardcube.pixels.projection import CELL, ROWS, Coordinates, Projection
from ardcube.raster.decode import SourcePixels
from ardcube.raster.header import Blocks, Level

KERNELS = {"nearest": 0, "bilinear": 1, "cubic": 2}
"""Half width of a kernel, in source pixels if the source is not downsampled."""


def needed_blocks(
    projection: Projection, wanted: Bits, level: Level, resampling: str, reach: tuple[int, int] = (0, 0)
) -> Blocks | None:
    """Return the blocks under the kernels of the wanted pixels, or None if no kernel touches the level.

    Parameters
    ----------
    projection : Projection
        Of the output window.
    wanted : Bits
        Output pixels to compute.
    level : Level
        Of the source.
    resampling : str
        `nearest`, `bilinear` or `cubic`.
    reach : (int, int)
        Rows and columns of source pixels that are needed around the kernels.
    """
    support = projection.kernel_support(level, KERNELS[resampling], reach)
    wanted_cells = wanted[::CELL].copy()
    for first in range(1, CELL):  # ten times faster than `reduceat`
        rows = wanted[first::CELL]
        wanted_cells[: len(rows)] |= rows
    cells = np.flatnonzero((wanted_cells != 0) & support.touches)
    if not len(cells):
        return None
    used = np.zeros(len(support.rectangles), bool)
    used[support.rectangle[cells]] = True
    first_row, last_row, first_col, last_col = support.rectangles[used].T
    # Summed over rows and columns, +1 at a rectangle's first corner and -1 after its others count the rectangles that
    # cover each block.
    cover = np.zeros([count + 1 for count in level.block_grid], np.int64)
    for rows, cols, change in (
        (first_row, first_col, 1),
        (first_row, last_col + 1, -1),
        (last_row + 1, first_col, -1),
        (last_row + 1, last_col + 1, 1),
    ):
        np.add.at(cover, (rows, cols), change)
    needed = cover.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
    top, bottom, left, right = support.pixels.take(cells, axis=1)
    row, column = int(top.min()), int(left.min())
    return Blocks(level, needed, row, column, int(bottom.max()) + 1 - row, int(right.max()) + 1 - column)


def resample_window(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    projection: Projection,
    source: SourcePixels,
    resampling: str,
) -> None:
    """Fill the wanted pixels of some bands that are still 0 from one source; the first valid source wins.

    Parameters
    ----------
    out : uint16 (band, y, x)
        Changed in place; 0 where no source gave a value. For nearest pixels also uint8.
    bands : sequence of int
        Positions in `out` of the first lanes of `source`.
    wanted : bool (y, x)
        Pixels to compute.
    projection : Projection
        Of the output window.
    source : SourcePixels
        Must hold all blocks that `needed_blocks` returned.
    resampling : str
        `nearest`; `bilinear`, a triangle of half width max(1, source pixels per output pixel) per axis; or
        `cubic`, Keys' kernel (1981, a = -0.5) stretched likewise. Weights are renormalised over valid pixels.
    """
    if source.encoding.conversion is not None:
        _resample_and_convert(out, bands, wanted, projection, source, resampling)
        return
    if resampling == "nearest" or projection.is_grid_of(source.blocks.level):
        take_nearest(out, bands, wanted, projection.nearest_pixels(source.blocks.level), source)
        return
    if resampling == "bilinear":
        wanted = _fill_complete(out, bands, wanted, projection, source)
        if not wanted.any():
            return
    for top in range(0, wanted.shape[0], ROWS):
        rows = slice(top, top + ROWS)
        if wanted[rows].any():
            fill_weighted(
                out[:, rows], bands, wanted[rows], projection.coordinates(rows, wanted[rows]), source, resampling
            )


def _resample_and_convert(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    projection: Projection,
    source: SourcePixels,
    resampling: str,
) -> None:
    """Resample in numbers of the source, then convert the pixels that were filled."""
    conversion = source.encoding.conversion
    assert conversion is not None
    table, width = conversion.table(), out.shape[2]
    before = [packed(out[band] != 0) for band in bands]
    unconverted = replace(source, encoding=replace(source.encoding, shift=0.0, conversion=None))
    resample_window(out, bands, wanted, projection, unconverted, resampling)
    for band, filled in zip(bands, before, strict=True):
        for top in range(0, out.shape[1], ROWS):  # in parts, so that little memory is needed
            numbers = out[band, top : top + ROWS]
            new = ~unpacked(filled[top : top + ROWS], width) & (numbers != 0)
            numbers[new] = table[numbers[new]]


def _fill_complete(
    out: NDArray[Any], bands: Sequence[int], wanted: NDArray[np.bool_], projection: Projection, source: SourcePixels
) -> NDArray[np.bool_]:
    """Fill the wanted pixels all of whose taps are valid; return the wanted pixels that remain, (y, x)."""
    from ardcube.kernels import bilinear  # numba takes a second to import

    p, t, blocks, encoding = projection, source.blocks.level.transform, source.blocks, source.encoding
    # Lanes after the last band repeat the first band, which is already filled then.
    planes = [out[band] for band in [*bands, *[bands[0]] * (LANES - len(bands))]]
    remaining = np.zeros_like(wanted)
    bilinear.fill_complete(
        *planes, wanted, remaining, p.nodes, p.window.y0, p.window.x0, source.values, source.holes, blocks.row,
        blocks.column, t.c, t.a, t.f, t.e, encoding.nodata, encoding.shift,
    )  # fmt: skip
    return remaining


def take_nearest(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    pixels: NDArray[np.unsignedinteger[Any]],
    source: SourcePixels,
) -> None:
    """Fill the wanted pixels that are still 0 from the source pixels whose rows and columns are `pixels`, (2, y, x)."""
    from ardcube.kernels import sampling  # numba takes a second to import

    rows, columns = pixels
    sampling.nearest(
        out, np.array(bands, np.int64), wanted, rows, columns, source.values, source.blocks.row, source.blocks.column,
        source.encoding.nodata, source.encoding.shift,
    )  # fmt: skip


def fill_weighted(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    resampling: str,
) -> None:
    """Fill the wanted pixels that are still 0, tap by tap, with weighted means of the valid source pixels."""
    from ardcube.kernels import sampling  # numba takes a second to import

    t, blocks, encoding = source.blocks.level.transform, source.blocks, source.encoding
    sampling.weighted(
        out, np.array(bands, np.int64), wanted, at.x, at.y, at.step_x, at.step_y, source.values, blocks.row,
        blocks.column, t.c, t.a, t.f, t.e, KERNELS[resampling], encoding.nodata, encoding.shift,
    )  # fmt: skip
