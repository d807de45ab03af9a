"""The share of finished tiles of each period, from the records of the chunks (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Tiles
from ardcube.ledger.record import ChunkRecord


def complete_shares(labels: Sequence[str], tiles: Tiles, records: Iterable[ChunkRecord]) -> NDArray[np.float32]:
    """Return the share of the tiles of which the store has pixels, or which have no observation, for each period.

    Parameters
    ----------
    labels : sequence of str
        Labels of the periods.
    tiles : Tiles
        Tiles that are built.
    records : iterable of ChunkRecord
        Records; those of other tiles and periods are ignored.

    Returns
    -------
    float32 (time,)
        0 to 1; 1 only if no tile is missing.
    """
    rows, cols = tiles.grid.tile_counts(tiles.size)
    is_tile = np.zeros((rows, cols), bool)
    is_tile[tiles.rows, tiles.cols] = True
    positions = {label: index for index, label in enumerate(labels)}
    done = np.zeros(len(labels), np.int64)
    for record in records:
        position, key = positions.get(record.key.period), record.key
        inside = key.row < rows and key.col < cols
        if position is not None and record.has_pixels and inside and is_tile[key.row, key.col]:
            done[position] += 1
    return (done / max(1, len(tiles))).astype(np.float32)
