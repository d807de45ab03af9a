"""Search the catalogue and plan the jobs of a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ardcube.catalog.bands import collection_offset
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import find_scenes
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.errors import InputError
from ardcube.extent.months import to_look_at
from ardcube.extent.periods import Period
from ardcube.fingerprint import digest
from ardcube.plan.jobs import ChunkJobs, jobs_of_period
from ardcube.plan.plan import CubePlan, CubeSpec, tiles_meeting
from ardcube.prepare.check import Request
from ardcube.runtime.gc_pause import seldom_collecting
from ardcube.runtime.threads import Threads

OnPeriod = Callable[[Period, int], None]
"""Told of each period that was searched, with its number of scenes."""


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


def _searched_periods(request: Request) -> tuple[Period, ...]:
    months, stored = request.run.look_back_months, request.stored
    if months is None or stored is None:
        return request.periods
    tiles = len(tiles_meeting(request.grid, request.cube.tile_size, request.area.mask))
    records = request.ledger.records(brief=True).values()
    done = Counter(record.key.period for record in records if record.is_built(request.run.skip_bad_scenes))
    settled = {period for period, chunks in done.items() if chunks >= tiles} - set(lengthened_periods(request))
    return to_look_at(request.periods, settled, stored["end"], months)


def lengthened_periods(request: Request) -> list[str]:
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
