"""Cells of the map of chunks: chunks, or squares of chunks of a large cube (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.report.html.chunk_numbers import ChunkNumbers
from ardcube.report.state_map import FAILED, MISSING, OUTSIDE

MOST_CELLS = 30_000
"""Cells of all periods of a page: about 700 kilobytes."""
_MOST_ON_A_SIDE = 160
"""Cells on a side of a map. More could not be pointed at."""


def cells_of(numbers: ChunkNumbers, grid: Grid, tile_size: int, periods: Sequence[int]) -> dict[str, Any]:
    """Return the cells of the shown periods, for JSON.

    Parameters
    ----------
    numbers : ChunkNumbers
        Numbers of all chunks.
    grid : Grid
        Grid of the cube.
    tile_size : int
        Rows and columns of a tile, in pixels.
    periods : sequence of int
        Positions of the shown periods.

    Returns
    -------
    dict
        `step` (chunks on a side of a cell), `rows`, `cols`, `x` and `y` (edges of the cells as shares of the grid),
        `errors`, and in `periods` for each period one list of numbers per measure, row by row; None where a number is
        not known. A cell of several chunks has the worst state, mean scenes and clear days, and the sum of seconds.
    """
    states = numbers.states[list(periods)]
    step = _step(states.shape)
    rows, cols = (-(-length // step) for length in states.shape[1:])
    side = step * tile_size
    return {
        "step": step,
        "rows": rows,
        "cols": cols,
        "x": [min(col * side, grid.width) / grid.width for col in range(cols + 1)],
        "y": [min(row * side, grid.height) / grid.height for row in range(rows + 1)],
        "errors": numbers.errors,
        "periods": [_cells(numbers, period, step) for period in periods],
    }


def _step(shape: tuple[int, ...]) -> int:
    """Return the chunks on a side of a cell."""
    periods, rows, cols = shape
    step = -(-max(rows, cols) // _MOST_ON_A_SIDE)
    while periods * -(-rows // step) * -(-cols // step) > MOST_CELLS:
        step += 1
    return step


def _cells(numbers: ChunkNumbers, period: int, step: int) -> dict[str, list[Any]]:
    """Return the measures of a period's cells."""
    states = _squares(numbers.states[period], step, OUTSIDE)
    chunks = (states != OUTSIDE).sum(axis=1)
    error = _squares(numbers.error[period], step, -1).max(axis=1)
    cells = {
        "state": states.max(axis=1).tolist(),
        "scenes": _listed(_mean(_squares(numbers.scenes[period], step, np.nan)), 1),
        "days": _listed(_mean(_squares(numbers.clear_days[period], step, np.nan)), 2),
        "seconds": _listed(_sum(_squares(numbers.seconds[period], step, np.nan)), 2),
        "attempts": _listed(_sum(_squares(numbers.attempts[period], step, np.nan)), 0),
        "error": error.tolist() if (error >= 0).any() else [],
    }
    if step > 1:
        cells["chunks"] = chunks.tolist()
        cells["failed"] = (states == FAILED).sum(axis=1).tolist()
        cells["missing"] = (states == MISSING).sum(axis=1).tolist()
    return cells


def _squares(values: NDArray[Any], step: int, outside: float) -> NDArray[Any]:
    """Return the values of each square of `step` x `step` chunks: (cell, chunk)."""
    height, width = values.shape
    rows, cols = -(-height // step), -(-width // step)
    padded = np.full((rows * step, cols * step), outside, values.dtype)
    padded[:height, :width] = values
    return padded.reshape(rows, step, cols, step).swapaxes(1, 2).reshape(rows * cols, step * step)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.nansum(values, axis=1, dtype=np.float64) / known.sum(axis=1)
    return mean


def _sum(values: NDArray[np.float32]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    return np.where(known.any(axis=1), np.nansum(values, axis=1, dtype=np.float64), np.nan)


def _listed(values: NDArray[np.float64], digits: int) -> list[float | None]:
    """Return rounded numbers, None for NaN, which JSON does not know."""
    rounded = (round(value, digits) for value in values.tolist())
    return [None if value != value else int(value) if value == int(value) else value for value in rounded]
