"""Draw the state of each chunk as maps by period, small for any number of chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Tiles
from ardcube.ledger.record import ChunkRecord
from ardcube.report.png import encode_png
from ardcube.report.svg import Panel, draw_sheet

OUTSIDE: Final = 0
WRITTEN: Final = 1
EMPTY: Final = 2
RETRIED: Final = 3
MISSING: Final = 4
FAILED: Final = 5
"""States by importance: where several chunks share a square, the largest state is shown."""

COLOURS: Mapping[int, tuple[int, int, int]] = {
    WRITTEN: (46, 160, 67),
    EMPTY: (170, 190, 210),
    RETRIED: (150, 200, 40),
    MISSING: (240, 180, 40),
    FAILED: (218, 54, 51),
}
NAMES: Mapping[int, str] = {
    WRITTEN: "written",
    EMPTY: "empty",
    RETRIED: "written after a retry",
    MISSING: "not built yet",
    FAILED: "failed",
}
_SIDES = ((1, 480), (2, 420), (6, 280), (12, 200))
"""Longest side of a map in CSS pixels, by the number of maps up to which it applies."""
_SMALL_SIDE = 160
"""Longest side of one of many maps in CSS pixels."""
_CELLS = 40
"""Squares on a side of a map at most."""
_MAPS = 36
"""Maps on a sheet at most."""
_LEAST_WITH_LINES = 5
"""Pixels on a side of a square from which lines separate the squares."""


def chunk_states(periods: Sequence[str], tiles: Tiles, records: Iterable[ChunkRecord]) -> NDArray[np.uint8]:
    """Return the state of each chunk.

    Parameters
    ----------
    periods : sequence of str
        Labels, sorted by time.
    tiles : Tiles
        Tiles that are built; the others are outside.
    records : iterable of ChunkRecord
        Records of the ledger; brief ones are enough.

    Returns
    -------
    uint8 (period, row, col)
    """
    rows, cols = tiles.grid.tile_counts(tiles.size)
    states = np.zeros((len(periods), rows, cols), np.uint8)
    states[:, tiles.rows, tiles.cols] = MISSING
    index = {label: number for number, label in enumerate(periods)}
    for record in records:
        period, key = index.get(record.key.period), record.key
        if period is not None and key.row < rows and key.col < cols:
            states[period, key.row, key.col] = _state(record)
    return states


def draw_states(periods: Sequence[str], states: NDArray[np.uint8], width: float = 1.0) -> str:
    """Draw one map per period, or per several of very many periods, as an SVG of some kilobytes.

    Parameters
    ----------
    periods : sequence of str
        Labels.
    states : uint8 (period, row, col)
        Result of `chunk_states`.
    width : float
        Width of a chunk as a share of its height: the cosine of latitude.
    """
    periods_per_map = -(-len(periods) // _MAPS)
    step = max(1, -(-max(states.shape[1:]) // _CELLS))
    side = next((side for most, side in _SIDES if len(periods) <= most), _SMALL_SIDE)
    panels = []
    for first in range(0, len(periods), periods_per_map):
        part = periods[first : first + periods_per_map]
        cells = _worst(states[first : first + periods_per_map], step)
        scale = max(1, int(side / max(cells.shape[0], cells.shape[1] * width)))
        label = part[0] if len(part) == 1 else f"{part[0]}..{part[-1]}"
        picture = _coloured(cells, scale, max(1, round(scale * width)))
        panels.append(Panel(label, encode_png(picture), *picture.shape[:0:-1]))
    seen = np.unique(states)
    legend = [("rgb" + str(COLOURS[state]), NAMES[state]) for state in COLOURS if state in seen]
    return draw_sheet(panels, legend)


def count_states(states: NDArray[np.uint8]) -> dict[str, int]:
    """Return the number of chunks by name of the state, without states that no chunk has."""
    counts = np.bincount(states.ravel(), minlength=FAILED + 1)
    return {NAMES[state]: int(counts[state]) for state in NAMES if counts[state]}


def done_percent(states: NDArray[np.uint8]) -> float:
    """Return the share of chunks that are written or empty, in percent."""
    chunks = int((states != OUTSIDE).sum())
    return round(100.0 * int(np.isin(states, (WRITTEN, EMPTY, RETRIED)).sum()) / chunks, 1) if chunks else 100.0


def _state(record: ChunkRecord) -> int:
    if record.status == "failed":
        return FAILED
    if record.status == "empty":
        return EMPTY
    return RETRIED if len(record.attempts) > 1 else WRITTEN


def _worst(states: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Return the largest state of each square of `step` x `step` chunks and of all periods: uint8 (y, x)."""
    flat = states.max(axis=0)
    height, width = flat.shape
    padded = np.zeros((-(-height // step) * step, -(-width // step) * step), np.uint8)
    padded[:height, :width] = flat
    worst: NDArray[np.uint8] = padded.reshape(padded.shape[0] // step, step, -1, step).max(axis=(1, 3))
    return worst


def _coloured(cells: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Draw cells of `height` x `width` pixels, separated by lines if they are large enough: uint8 (4, y, x)."""
    palette = np.zeros((FAILED + 1, 4), np.uint8)
    for state, colour in COLOURS.items():
        palette[state] = (*colour, 255)
    large = cells.repeat(height, axis=0).repeat(width, axis=1)
    if min(height, width) >= _LEAST_WITH_LINES:
        large[height - 1 :: height] = large[:, width - 1 :: width] = OUTSIDE
    return np.ascontiguousarray(palette[large].transpose(2, 0, 1))
