"""From the two models to a plan and a store that stands ready; everything a person got wrong is found here."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from ardcube.catalog.bands import check_bands
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.search import Catalog, local_path, open_catalog
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError, StoreError
from ardcube.extent.area import Area, load_area
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period, calendar_periods
from ardcube.fingerprint import digest
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.pixels.masks import CloudMaskHook
from ardcube.storage.place import Place

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was checked against the world; nothing was written for it yet."""

    cube: CubeConfig
    run: RunConfig
    mask: CloudMaskHook
    area: Area
    grid: Grid
    periods: tuple[Period, ...]
    """The whole time axis."""
    catalog: Catalog
    place: Place
    """Of the store."""
    ledger: Ledger
    stored: dict[str, Any] | None
    """`cube.json` of the cube that stands there and is continued."""

    @property
    def identity(self) -> dict[str, Any]:
        """All that makes this cube another than others: two cubes with equal identity hold equal pixels."""
        cube = self.cube
        identity = {
            "grid": asdict(self.grid),
            "epsg": cube.epsg,
            "start": f"{self.periods[0].start:%Y-%m}",
            "time_frequency_months": cube.time_frequency_months,
            "chunk_size": cube.chunk_size,
            "shard": cube.shard,
            "bands": list(cube.bands),
            "varname": cube.varname,
            "cloud_mask": cube.cloud_mask,
            "cloud_mask_options": asdict(self.mask) if is_dataclass(self.mask) else dict(cube.cloud_mask_options),
            "resampling": cube.resampling,
            "stac_url": cube.stac_url if is_remote(cube.stac_url) else str(local_path(cube.stac_url)),
            "collection": cube.collection,
            "geometry_mask": digest(self.area.mask.wkt) if self.area.mask is not None else None,
        }
        as_stored: dict[str, Any] = json.loads(json.dumps(identity))
        return as_stored


def check_request(cube: CubeConfig, run: RunConfig, mask: CloudMaskHook, *, build: bool = True) -> Request:
    """Check a request against files, the store's place and the catalogue, cheapest first; write nothing.

    What builds is not imported for it: a mistake is told in less time than zarr takes to be imported.

    Parameters
    ----------
    cube, run : CubeConfig, RunConfig
        The request.
    mask : CloudMaskHook
        Of the cube.
    build : bool
        Whether the store is to be written; without, nothing is asked of what stands there.

    Raises
    ------
    InputError
        Says what was given, what is wrong with it, and what to do.
    """
    area = load_area(cube)
    grid = Grid.from_bounds(area.bounds, cube.resolution)
    periods = calendar_periods(cube.start_date, cube.end_date, cube.time_frequency_months)
    rows, cols = grid.tile_counts(cube.chunk_size)
    chunks = rows * cols * len(periods)
    if chunks > run.max_chunks and not run.yes:
        raise InputError(
            f"the cube has {chunks} chunks ({rows} x {cols} tiles, {len(periods)} periods), more than max-chunks "
            f"{run.max_chunks}; choose a smaller area or a coarser resolution, or confirm with --yes"
        )
    place = Place.at(run.fsspec_uri, run.storage_options)
    ledger = Ledger.beside(place)
    if run.memory_limit is not None:
        _check_memory(cube, run, mask, grid, periods)
    if build:
        _check_place(place, ledger, run)
    catalog = open_catalog(cube.stac_url, cube.collection, run.allow_asset_roots)
    check_bands(None, catalog.collection, cube.bands, reflectance=True)
    check_bands(None, catalog.collection, mask.bands, reflectance=False)
    request = Request(cube, run, mask, area, grid, periods, catalog, place, ledger, None)
    stored = ledger.read_cube() if build and not run.overwrite else None
    if stored is None:
        return request
    _check_same_cube(request, stored)
    return Request(cube, run, mask, area, grid, periods, catalog, place, ledger, stored)


def _check_memory(cube: CubeConfig, run: RunConfig, mask: CloudMaskHook, grid: Grid, periods: Sequence[Period]) -> None:
    """Refuse a limit that no chunk fits into, be there scenes on every day of a period.

    How many chunks a worker of a cluster builds at once is not known yet.
    """
    from ardcube.plan.memory import Work, chunk_limit  # (slow to import)

    days = max((period.end - period.start).days for period in periods)
    shape = min(cube.tile_size, grid.height), min(cube.tile_size, grid.width)
    at_once = run.local_threads if run.serverless_backend == "local" else 1
    chunk_limit(run.memory_bytes, at_once, Work.of(mask, len(cube.bands), shape, days, 2 * days))


def _check_place(place: Place, ledger: Ledger, run: RunConfig) -> None:
    """Refuse a place that holds something else, or not what the run counts on."""
    try:
        ours = ledger.read_cube() is not None
        something = place.exists()
        ready = (ours or not run.initialize) and _is_ready(place)
    except (StoreError, InputError) as error:
        raise InputError(str(error)) from error
    except Exception as error:  # a filesystem may raise whatever its library does
        raise InputError(
            f"fsspec-uri {place.uri} cannot be reached: {' '.join(str(error).split())}; check the address and "
            "the credentials"
        ) from error
    if not ours and something and not (place.is_local and _is_empty_folder(place)):
        raise InputError(
            f"fsspec-uri {place.uri} holds something that ardcube did not write (there is no {place.uri}{SUFFIX}); "
            "choose another place"
        )
    if place.is_local and not _can_write(Path(place.path)):
        raise InputError(f"fsspec-uri {place.uri} cannot be written; choose a folder of yours")
    if not run.initialize and not ready:
        raise InputError(f"fsspec-uri {place.uri} holds no cube; drop --no-initialize to create one")
    if ours and not ready and not run.overwrite and ledger.place.list("chunks") + ledger.place.list("ledger.parquet"):
        raise InputError(
            f"fsspec-uri {place.uri} is gone, but {place.uri}{SUFFIX} lists chunks of it; bring it back, or "
            "build it anew with --overwrite"
        )


def _is_ready(place: Place) -> bool:
    from ardcube.store.schema import is_there

    return is_there(place)


def _can_write(path: Path) -> bool:
    """Whether a folder can be made there: its nearest parent that exists is a folder one may write to."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _is_empty_folder(place: Place) -> bool:
    return bool(place.fs.isdir(place.path)) and not place.fs.ls(place.path)


def _check_same_cube(request: Request, stored: dict[str, Any]) -> None:
    """Refuse to continue a cube of another configuration; show both values."""
    wanted, there = request.identity, {"shard": 1} | stored["identity"]  # cubes from before shards have none
    differences = [
        f"{name} is {there.get(name)!r} there and {wanted.get(name)!r} here"
        for name in sorted(wanted.keys() | there.keys())
        if there.get(name) != wanted.get(name)
    ]
    end = f"{request.periods[-1].end:%Y-%m}"
    if not differences and end < stored["end"]:
        differences = [f"its last month is before {stored['end']} there and before {end} here"]
    if differences:
        raise InputError(
            f"fsspec-uri {request.place.uri} holds another cube: {'; '.join(differences)}; choose another place, "
            "the same configuration, or --overwrite"
        )
