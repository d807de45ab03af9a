"""The plan of the last build, stored in the ledger, so that a retry needs no search.

The scenes of a period are in a manifest that never changes (`ardcube.ledger.manifest`). A new search writes another
manifest. `planned.json` names the valid manifest of each period, and the tiles that are built.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import StoreError
from ardcube.extent.grid import Grid, Tiles
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube
from ardcube.planning.plan import CubePlan, definitions_of

_NAME = "items/planned.json"
"""In the folder of the manifests, because it is removed together with them."""
_MANIFEST = re.compile(r"items/[\w.-]+\.parquet", re.ASCII)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """Tiles, and the manifest of each period."""

    manifests: Mapping[str, str]
    """Name of the manifest, relative to the ledger, by period label."""
    tiles: Tiles
    definitions: frozenset[str] | None = None
    """Names of the definitions of the scenes; None if an earlier version stored the plan."""


def write_planned(ledger: Ledger, plan: CubePlan) -> Collection[str]:
    """Store a plan; periods that are not in it keep the manifest of an earlier plan.

    Parameters
    ----------
    ledger : Ledger
        Ledger of the cube; the run holds the lease.
    plan : CubePlan
        Plan that is built next.

    Returns
    -------
    collection of str
        Names of the manifests that the stored plan needs.
    """
    try:
        found = _read(ledger) or {"manifests": {}}
    except StoreError as error:
        logger.warning("%s", error)  # replaced below
        found = {"manifests": {}}
    before = _manifests(found)
    first = plan.jobs[0].key  # jobs are ordered tile by tile, and for each tile period by period
    of_first_tile = takewhile(lambda job: (job.key.row, job.key.col) == (first.row, first.col), plan.jobs)
    manifests = before | {job.key.period: job.manifest for job in of_first_tile}
    tiles = plan.jobs.tiles
    _, cols = tiles.grid.tile_counts(tiles.size)
    definitions = sorted(definitions_of(plan.scenes) | set(found.get("definitions", ())))
    ranges = _ranges(tiles.rows * cols + tiles.cols)
    planned = {"manifests": manifests, "tiles": ranges, "definitions": definitions}
    ledger.place.write(_NAME, json.dumps(planned).encode())
    return manifests.values()


def copy_planned(source: Ledger, target: Ledger) -> None:
    """Copy the plan of a cube into another ledger."""
    content = source.place.read(_NAME)
    if content is not None:
        target.place.write(_NAME, content)


def read_planned(ledger: Ledger, grid: Grid, tile_size: int) -> Planned | None:
    """Read the plan of the last build; None if no build has stored one.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    found = _read(ledger)
    if found is None:
        return None
    rows, cols = grid.tile_counts(tile_size)
    with _damage_as_store_error(ledger):
        ranges = found["tiles"]
        bounds = [0, *(number for start, stop in ranges for number in (start, stop)), rows * cols]
        if not ranges or not all(type(number) is int for number in bounds) or bounds != sorted(bounds):
            raise ValueError("tiles outside the grid")  # before the ranges become arrays, which may be very large
        cells = np.concatenate([np.arange(start, stop) for start, stop in ranges])
        if cells.size == 0:
            raise ValueError("no tiles")
        return Planned(_manifests(found), Tiles(grid, tile_size, cells), _definitions(found))


def planned_chunks(ledger: Ledger, cube: StoredCube) -> Planned:
    """Return the plan of the last build; without one, all tiles and periods of the cube.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    planned = read_planned(ledger, cube.grid, cube.config.tile_size)
    if planned is not None:
        return planned
    return Planned(dict.fromkeys((period.label for period in cube.periods), ""), cube.grid.tiles(cube.config.tile_size))


def _read(ledger: Ledger) -> dict[str, Any] | None:
    """Read the document and check the names of its manifests."""
    content = ledger.place.read(_NAME)
    if content is None:
        return None
    with _damage_as_store_error(ledger):
        found: dict[str, Any] = json.loads(content)
        _manifests(found)
        _definitions(found)
        return found


@contextmanager
def _damage_as_store_error(ledger: Ledger) -> Iterator[None]:
    """Raise the errors of a damaged document as StoreError that names the file."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(
            f"{ledger.place.uri}/{_NAME} is damaged ({reason}); run the build again, which writes a new one"
        ) from error


def _manifests(found: Mapping[str, Any]) -> dict[str, str]:
    names = dict(found["manifests"])
    if not all(_MANIFEST.fullmatch(name) for name in names.values()):
        raise ValueError("a manifest outside the ledger")
    return names


def _definitions(found: Mapping[str, Any]) -> frozenset[str] | None:
    names = found.get("definitions")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError("names of definitions that are no texts")
    return None if names is None else frozenset(names)


def _ranges(cells: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return sorted numbers as half-open ranges: one for all tiles, some hundreds for a country."""
    breaks = np.flatnonzero(np.diff(cells) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in _split(cells, breaks)]


def _split(cells: NDArray[np.int64], at: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return (part for part in np.split(cells, at) if part.size)
