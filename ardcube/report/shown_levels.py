"""List the levels of a cube that pictures may read: the cube, and the levels of its pyramid that are built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.levels import level_grids
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.shown_pixels import Level
from ardcube.report.state_map import EMPTY, RETRIED, WRITTEN, chunk_states


def shown_levels(
    ledger: Ledger, cube: StoredCube, states: NDArray[np.uint8], with_pixels: Sequence[int]
) -> Iterator[Level]:
    """Yield the cube, then each level of its pyramid, the finest first, up to one that is not built.

    Parameters
    ----------
    ledger : Ledger
        Ledger of the cube.
    cube : StoredCube
        The cube.
    states : uint8 (period, row, col)
        States of its chunks.
    with_pixels : sequence of int
        States of chunks that may have pixels.

    Raises
    ------
    StoreError
        If the ledger of a level is damaged.
    """
    written = np.isin(states, with_pixels)
    size, tile = (cube.grid.height, cube.grid.width), cube.config.tile_size
    yield Level(0, size, tile, written, written | (states == EMPTY))
    yield from pyramid_levels(ledger, cube, written)


def pyramid_levels(ledger: Ledger, cube: StoredCube, below: NDArray[np.bool_]) -> Iterator[Level]:
    """Yield the levels of the pyramid, the finest first, up to one without chunks of a period that has pixels.

    Parameters
    ----------
    ledger, cube : Ledger, StoredCube
        The cube and its ledger.
    below : bool (period, row, col)
        Tiles of the cube with pixels. A run builds the levels after them, and may have been interrupted.
    """
    if cube.config.layout == "flat":
        return
    labels, tile = [period.label for period in cube.periods], cube.config.tile_size
    for number, grid in enumerate(level_grids(cube.grid)[1:], 1):
        records = ledger.of_level(number).records(brief=True).values()
        states = chunk_states(labels, grid.tiles(tile), records)
        written = np.isin(states, (WRITTEN, RETRIED))
        built = written | (states == EMPTY)
        if not (built.any(axis=(1, 2)) >= below.any(axis=(1, 2))).all():
            return
        yield Level(number, (grid.height, grid.width), tile, written, built)
