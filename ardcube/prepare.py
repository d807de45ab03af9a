"""From the two models to a plan and a store that stands ready; everything a person got wrong is found here."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ardcube.catalog.bands import check_bands, collection_offset
from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import Catalog, find_scenes, local_path, open_catalog
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError, StoreError
from ardcube.extent.area import Area, load_area
from ardcube.extent.grid import Grid
from ardcube.extent.months import to_look_at
from ardcube.extent.periods import Period, calendar_periods
from ardcube.fingerprint import digest
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.pixels.cloud_mask import CloudMaskHook
from ardcube.plan.jobs import ChunkJobs, jobs_of_period
from ardcube.plan.plan import CubePlan, CubeSpec, tiles_meeting
from ardcube.runtime.gc_pause import seldom_collecting
from ardcube.runtime.threads import Threads
from ardcube.storage.place import Place

_LEDGER_VERSION = 1

logger = logging.getLogger(__name__)

OnPeriod = Callable[[Period, int], None]
"""Told of each period that was searched, with its number of scenes."""


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


Found = Mapping[str, Sequence[Scene]]
"""Scenes by the label of their period."""


@seldom_collecting()
def search_scenes(request: Request, on_period: OnPeriod | None = None) -> Found:
    """Search the catalogue, once per period, or with a look-back those that it asks for; write nothing.

    Raises
    ------
    InputError
        If items lack a band.
    CatalogError
        If the STAC API fails.
    """
    found: dict[str, Sequence[Scene]] = {}
    for period in _searched_periods(request):
        found[period.label] = find_scenes(
            request.catalog, request.cube, request.mask.bands, request.grid, period, request.run.allow_asset_roots
        )
        if on_period is not None:
            on_period(period, len(found[period.label]))
    return found


@seldom_collecting()
def make_plan(request: Request, scenes: Found, *, build: bool = True) -> CubePlan:
    """Join scenes with tiles, and write the manifests that the workers read.

    Parameters
    ----------
    request : Request
        That was checked.
    scenes : mapping
        What `search_scenes` found: periods that were not searched are no part of the plan.
    build : bool
        Whether manifests are written beside the store; without, the plan can only be looked at.
    """
    tiles = tiles_meeting(request.grid, request.cube.tile_size, request.area.mask)
    if not tiles:
        raise InputError("no tile intersects the geometry; leave out --use-geometry-mask")
    from ardcube.ledger.manifest import write_manifest  # (pyarrow is slow to import)

    areas = AreaIndex(tiles.boxes(request.mask.halo))
    periods = tuple(period for period in request.periods if period.label in scenes)
    by_period = [
        jobs_of_period(
            period,
            areas,
            scenes[period.label],
            write_manifest(request.ledger.place, period, scenes[period.label]) if build else "",
        )
        for period in periods
    ]
    spec = CubeSpec(
        fingerprint=digest(request.identity),
        grid=request.grid,
        periods=len(request.periods),
        bands=request.cube.bands,
        varname=request.cube.varname,
        resampling=request.cube.resampling,
        offset=_cube_offset(request, scenes),
        mask=request.mask,
        store_uri=request.place.uri,
        ledger_uri=request.ledger.place.uri,
        storage_options=dict(request.run.storage_options),
        asset_access=request.run.asset_access,
        reader=request.run.reader,
        skip_bad_scenes=request.run.skip_bad_scenes,
        threads=Threads(request.run.requests, request.run.decode_threads or 0),
    )
    return CubePlan(spec, request.cube.chunk_size, periods, scenes, ChunkJobs(tiles, by_period))


def initialize(request: Request, plan: CubePlan) -> None:
    """Create the store, extend it, or find that it stands ready. Repeating it does no harm.

    The ledger's `cube.json` is written first: from then on the place is ours, whatever happens.
    """
    from ardcube.store import schema

    ledger, place = request.ledger, request.place
    described = {
        "ardcube": version("ardcube"),
        "version": _LEDGER_VERSION,
        "fingerprint": plan.spec.fingerprint,
        "identity": request.identity,
        "end": f"{request.periods[-1].end:%Y-%m}",
        "offset": plan.spec.offset,
        "config": request.cube.model_dump(mode="json"),
    }
    if request.stored is None or not schema.is_there(place):
        ledger.write_cube(described)
        schema.create(place, plan.spec, request.periods, request.cube.chunk_size, request.cube.shard)
        return
    described["lengthened"] = _lengthened(request)
    if request.stored["end"] != described["end"]:
        schema.extend(place, request.cube.varname, request.periods)
        ledger.write_cube(described)
    schema.check(place, plan.spec, request.cube.chunk_size, request.cube.shard)


def remove_cube(request: Request) -> None:
    """Remove the cube that stands at the request's place: what ardcube wrote, and nothing else."""
    from ardcube.store import schema

    stored = request.ledger.read_cube()
    if stored is None:
        return
    schema.remove(request.place, str(stored["identity"]["varname"]))
    own = request.ledger.place.list()
    request.ledger.place.remove(
        name for name in own if name.split("/", 1)[0] in ("chunks", "items", "ledger.parquet", "in-hand.json")
    )
    request.ledger.place.remove(["cube.json"])  # last: until then the place is still known as ours
    request.ledger.place.remove_empty_folders()


def _searched_periods(request: Request) -> tuple[Period, ...]:
    months, stored = request.run.look_back_months, request.stored
    if months is None or stored is None:
        return request.periods
    tiles = len(tiles_meeting(request.grid, request.cube.tile_size, request.area.mask))
    records = request.ledger.records(brief=True).values()
    done = Counter(record.key.period for record in records if record.is_built(request.run.skip_bad_scenes))
    settled = {period for period, chunks in done.items() if chunks >= tiles} - set(_lengthened(request))
    return to_look_at(request.periods, settled, stored["end"], months)


def _lengthened(request: Request) -> list[str]:
    """Periods that were clipped once, and are longer since: what the ledger says of them may be of the shorter one."""
    assert request.stored is not None
    end = request.stored["end"]
    grown = {period.label for period in request.periods if period.label < end < f"{period.end:%Y-%m}"}
    return sorted(grown.union(request.stored.get("lengthened", ())))


def _cube_offset(request: Request, scenes: Found) -> float:
    """Offset of the cube's reflectance: as stored, as the collection says, or that of the first scene."""
    if request.stored is not None:
        return float(request.stored["offset"])
    band = request.cube.bands[0]
    declared = collection_offset(request.catalog.collection, band)
    if declared is not None:
        return declared
    earliest = (found[0] for found in scenes.values() if found)
    first = min(earliest, key=lambda scene: (scene.datetime, scene.id), default=None)
    return first.bands[band].offset if first is not None else 0.0


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
