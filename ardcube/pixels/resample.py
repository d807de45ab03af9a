"""The resampler of the pixel contract: what one output pixel sees of one source raster.

Everything depends on the output pixel alone, never on the window it is computed in: coordinates come from
global indices (`projection`), the kernel's width from the Jacobian at that pixel. Sums run
in a fixed order, so that `tests/oracle/kernels.py` gives the same bits in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits
from ardcube.pixels.projection import CELL, ROWS, Coordinates, Projection
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
    """Fill the wanted pixels of some bands that are still 0 from one source; the first valid source wins.

    Parameters
    ----------
    out : uint16 (band, y, x)
        Changed in place; 0 where no source gave a value. For nearest pixels also uint8.
    bands : sequence of int
        Positions in `out` of the lanes of `source`, of which there may be more.
    wanted : bool (y, x)
        Pixels to compute.
    projection : Projection
        Of the output window.
    source : SourcePixels
        Must hold all blocks that `needed_blocks` returns.
    level : Level
        Of the source.
    resampling : str
        `nearest`; `bilinear`, a triangle of half width max(1, source pixels per output pixel) per axis; or
        `cubic`, Keys' kernel (1981, a = -0.5) stretched likewise. Weights are renormalised over valid pixels.
    shift : int
        Added to every value, which stays within 1..65535.
    """
    if resampling == "nearest":
        take_nearest(out, bands, wanted, projection.pixels(level), source, shift)
        return
    if resampling == "bilinear":
        wanted = _fill_where_all_is_valid(out, bands, wanted, projection, source, level, shift)
        if not wanted.any():
            return
    for top in range(0, wanted.shape[0], ROWS):
        rows = slice(top, top + ROWS)
        if wanted[rows].any():
            at = projection.coordinates(rows, wanted[rows])
            fill_weighted(out[:, rows], bands, wanted[rows], at, source, level, resampling=resampling, shift=shift)


def _fill_where_all_is_valid(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    projection: Projection,
    source: SourcePixels,
    level: Level,
    shift: int,
) -> NDArray[np.bool_]:
    """Resample the pixels all of whose taps are valid; return which of the others are wanted, (y, x)."""
    from ardcube.kernels import bilinear  # numba takes a second to import

    fill: Callable[..., None] = bilinear.fill
    t, p = level.transform, projection
    # Lanes beyond the bands repeat the first band, which is already filled then.
    planes = [out[band] for band in [*bands, *[bands[0]] * (LANES - len(bands))]]
    left = np.zeros_like(wanted)
    fill(
        *planes, wanted, left, p.nodes_x, p.nodes_y, p.row, p.column, p.step, p.window.y0, p.window.x0,
        source.values, source.holes, source.row, source.column, t.c, t.a, t.f, t.e, source.nodata, shift,
    )  # fmt: skip
    return left


def take_nearest(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    pixels: NDArray[np.unsignedinteger[Any]],
    source: SourcePixels,
    shift: int,
) -> None:
    """Fill the wanted pixels that are still 0 from the source pixels whose rows and columns are `pixels`, (2, y, x)."""
    from ardcube.kernels import sampling  # numba takes a second to import

    rows, columns = pixels
    sampling.nearest(
        out, np.array(bands, np.int64), wanted, rows, columns, source.values, source.row, source.column,
        source.nodata, shift,
    )  # fmt: skip


def fill_weighted(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    level: Level,
    *,
    resampling: str,
    shift: int,
) -> None:
    """Fill the wanted pixels that are still 0, tap by tap, with weighted means of the valid source pixels."""
    from ardcube.kernels import sampling  # numba takes a second to import

    t = level.transform
    sampling.weighted(
        out, np.array(bands, np.int64), wanted, at.x, at.y, at.step_x, at.step_y, source.values, source.row,
        source.column, t.c, t.a, t.f, t.e, _KERNELS[resampling], source.nodata, shift,
    )  # fmt: skip
