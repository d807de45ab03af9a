"""What the last build planned, kept beside its scenes: a retry builds just that, without a search.

The scenes of a period stand in a file that never changes (`ardcube.ledger.manifest`); a period that is searched again
gets another one. This file says which of them counts, and which tiles are built at all.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import StoreError
from ardcube.extent.grid import Grid, Tiles
from ardcube.ledger.ledger import Ledger
from ardcube.plan.plan import CubePlan

# Among the scenes, so that it goes when they go.
_NAME = "items/planned.json"
_MANIFEST = re.compile(r"items/[\w.-]+\.parquet", re.ASCII)

logger = logging.getLogger(__name__)


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
    try:
        before = _manifests(_read(ledger) or {"manifests": {}})
    except StoreError as error:
        logger.warning("%s", error)  # it is written anew here
        before = {}
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
    found = _read(ledger)
    if found is None:
        return None
    rows, cols = grid.tile_counts(tile_size)
    with _told(ledger):
        ranges = found["tiles"]
        bounds = [0, *(number for start, stop in ranges for number in (start, stop)), rows * cols]
        if not ranges or not all(type(number) is int for number in bounds) or bounds != sorted(bounds):
            raise ValueError("tiles outside the grid")  # before they are numbers in memory: it may be very many
        cells = np.concatenate([np.arange(start, stop) for start, stop in ranges])
        if cells.size == 0:
            raise ValueError("no tiles")
        return Planned(_manifests(found), Tiles(grid, tile_size, cells))


def _read(ledger: Ledger) -> dict[str, Any] | None:
    """The document, its manifests checked."""
    content = ledger.place.read(_NAME)
    if content is None:
        return None
    with _told(ledger):
        found: dict[str, Any] = json.loads(content)
        _manifests(found)
        return found


@contextmanager
def _told(ledger: Ledger) -> Iterator[None]:
    """Say of which file it is that something is wrong."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = " ".join(str(error).split())[:200]
        raise StoreError(
            f"{ledger.place.uri}/{_NAME} is damaged ({told}); run the build again, which writes it anew"
        ) from error


def _manifests(found: Mapping[str, Any]) -> dict[str, str]:
    names = dict(found["manifests"])
    if not all(_MANIFEST.fullmatch(name) for name in names.values()):
        raise ValueError("scenes that lie elsewhere")
    return names


def _ranges(cells: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Numbers as half-open ranges, in order: all tiles are one, those of a country some hundred."""
    breaks = np.flatnonzero(np.diff(cells) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in _split(cells, breaks)]


def _split(cells: NDArray[np.int64], at: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return (part for part in np.split(cells, at) if part.size)
