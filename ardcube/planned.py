"""What the last build planned, kept beside its scenes: a retry builds just that, without a search.

The scenes of a period stand in a file that never changes (`ardcube.manifest`); a period that is searched again gets
another one. This file says which of them counts, and which tiles are built at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import StoreError
from ardcube.grid import Grid, Tiles
from ardcube.ledger import Ledger
from ardcube.plan import CubePlan

# Among the scenes, so that it goes when they go.
_NAME = "items/planned.json"


@dataclass(frozen=True, slots=True)
class Planned:
    """Tiles, and where the scenes of each period are."""

    manifests: Mapping[str, str]
    """Files relative to the ledger, by period label."""
    tiles: Tiles


def write_planned(ledger: Ledger, plan: CubePlan) -> None:
    """Keep what a plan says; of periods that it leaves alone, what was said before stays.

    Parameters
    ----------
    ledger : Ledger
        Of the cube, whose lease is held.
    plan : CubePlan
        That is about to be built.
    """
    content = ledger.place.read(_NAME)
    before = _manifests(json.loads(content)) if content is not None else {}
    first = plan.jobs[0].key  # jobs are ordered tile by tile, and for each tile period by period
    of_first_tile = takewhile(lambda job: (job.key.row, job.key.col) == (first.row, first.col), plan.jobs)
    manifests = before | {job.key.period: job.manifest for job in of_first_tile}
    tiles = plan.jobs.tiles
    _, cols = tiles.grid.tile_counts(tiles.size)
    planned = {"manifests": manifests, "tiles": _ranges(tiles.rows * cols + tiles.cols)}
    ledger.place.write(_NAME, json.dumps(planned).encode())


def read_planned(ledger: Ledger, grid: Grid, tile_size: int) -> Planned | None:
    """Read what the last build planned, or None where none got so far.

    Raises
    ------
    StoreError
        If it was damaged.
    """
    content = ledger.place.read(_NAME)
    if content is None:
        return None
    try:
        found = json.loads(content)
        cells = np.concatenate([np.arange(start, stop) for start, stop in found["tiles"]])
        rows, cols = grid.tile_counts(tile_size)
        if cells.size == 0 or cells.min() < 0 or cells.max() >= rows * cols:
            raise ValueError("tiles outside the grid")
        return Planned(_manifests(found), Tiles(grid, tile_size, cells))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{ledger.place.uri}/{_NAME} is damaged ({error}); run the build again, which writes it anew"
        ) from error


def _manifests(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    names = dict(found["manifests"])
    if any(not name.startswith("items/") or ".." in name for name in names.values()):
        raise ValueError("scenes that lie elsewhere")
    return names


def _ranges(cells: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Numbers as half-open ranges, in order: all tiles are one, those of a country some hundred."""
    breaks = np.flatnonzero(np.diff(cells) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in _split(cells, breaks)]


def _split(cells: NDArray[np.int64], at: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return (part for part in np.split(cells, at) if part.size)
