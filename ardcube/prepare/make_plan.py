"""Search the catalogue and plan the jobs of a request."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ardcube.catalog.cube_encoding import USUAL, SourceEncoding, choose_encoding, encodings_of_scenes, source_encodings
from ardcube.catalog.file_access import used_access
from ardcube.catalog.least_cloudy import keep_least_cloudy
from ardcube.catalog.malformed import describe
from ardcube.catalog.scene import Scene
from ardcube.catalog.search import find_in_all
from ardcube.catalog.source import Source, none_usable
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.config.encoding import CubeEncoding
from ardcube.errors import InputError, StoreError
from ardcube.extent.clip_grid import clipped_tiles
from ardcube.extent.grid import Tiles
from ardcube.extent.months import periods_to_search
from ardcube.extent.periods import Period
from ardcube.fingerprint import digest
from ardcube.ledger.stored_cube import StoredCube, stored_encoding, with_encoding
from ardcube.pixels.composites.figures import needs_of
from ardcube.planning.jobs import ChunkJobs, jobs_of_period
from ardcube.planning.plan import CubePlan, definitions_of, tiles_meeting
from ardcube.prepare.file_access import asset_access, check_variables, is_charged
from ardcube.prepare.request import Request
from ardcube.prepare.scene_mask import categories_of
from ardcube.prepare.spec import cube_spec
from ardcube.runtime.gc_pause import rare_garbage_collection

logger = logging.getLogger(__name__)

OnPeriod = Callable[[Period, int], None]
"""Called with each period that was searched and the number of its scenes."""

FoundScenes = Mapping[str, Sequence[Scene]]
"""Scenes by period label; periods that were not searched are left out."""


@rare_garbage_collection()
def search_scenes(request: Request, on_period: OnPeriod | None = None) -> FoundScenes:
    """Search the catalogue once per period; with `look_back_months` only the periods that it covers.

    Raises
    ------
    InputError
        If no tile is built, or the encoding of the cube does not suit the files; if scenes cannot be used, and
        `skip_bad_scenes` is 0 or no scene can be used; or if chunks are built in this process and it lacks a token that
        the access to their files needs.
    CatalogError
        If the STAC API fails.
    """
    tiles_of(request)  # a plan is refused here, because a cube that is overwritten is removed before it is planned
    found: dict[str, Sequence[Scene]] = {}
    grid = request.grid.grow(request.mask.halo)
    bands, categories = request.cube.bands, categories_of(request.mask)
    uses_cover = needs_of(request.composites).cloud_cover or request.cube.enough is not None
    for period in _searched_periods(request):
        scenes = find_in_all(request.sources, bands, categories, grid, period)
        if request.cube.max_scenes is not None:
            parsers = [(source, source.parser(bands, categories)) for source in request.sources]
            scenes = keep_least_cloudy(scenes, request.cube.max_scenes, parsers, period)
        found[period.label] = [scene.with_cloud_cover() for scene in scenes] if uses_cover else scenes
        if on_period is not None:
            on_period(period, len(found[period.label]))
    _check_bad_scenes(request, found)
    _cube_encoding(request, found)
    _check_access(request, found)
    if uses_cover:
        _warn_of_unknown_cloud_cover(
            found,
            "it is unknown to the composites that use it"
            if request.cube.enough is None
            else "their days come last in enough",
        )
    elif request.cube.max_scenes is not None:
        _warn_of_unknown_cloud_cover(found, "they come last in max-scenes")
    pools = {scene.collection for some in found.values() for scene in some}
    for source in request.sources:
        if source.is_pooled and source.pool not in pools:
            logger.warning("%s: no scene was found in any period", source.noun)
    for problem, count in Counter(scene.contradiction for some in found.values() for scene in some).items():
        if problem:
            logger.warning("%d scenes: %s", count, problem)
    return found


def _warn_of_unknown_cloud_cover(found: FoundScenes, consequence: str) -> None:
    """Warn if items do not state the cloud cover that a composite or the choice of scenes uses."""
    stated = {scene.id: scene.cloud_cover is not None for some in found.values() for scene in some if not scene.problem}
    unknown = len(stated) - sum(stated.values())
    if unknown:
        logger.warning(
            "%s of %d scenes state no eo:cloud_cover: %s",
            "all" if unknown == len(stated) else unknown,
            len(stated),
            consequence,
        )


def _check_bad_scenes(request: Request, found: FoundScenes) -> None:
    """Raise InputError if bad scenes may not be left out, before anything is written."""
    scenes = {scene.id: scene for period in found.values() for scene in period}  # one without a time is in each period
    bad = [scene for scene in scenes.values() if scene.problem]
    if not bad:
        return
    for source in request.sources:
        own = [scene for scene in scenes.values() if scene.collection == source.pool]
        if len(own) > 1 and all(scene.problem for scene in own):
            raise none_usable(source, own)
    if request.run.skip_bad_scenes:
        logger.warning("%d of %d scenes cannot be used and are left out: %s", len(bad), len(scenes), bad[0].problem)
        return
    tiles = tiles_of(request)
    _, met = AreaIndex(tiles.outlines(request.mask.halo)).join(bad)
    bad = [bad[int(position)] for position in np.unique(met)]
    if bad:
        raise InputError(
            f"{bad[0].problem}; or add --skip-bad-scenes N to leave out up to N such scenes per chunk "
            f"({len(bad)} of {len(scenes)} scenes cannot be used)"
        )


def _check_access(request: Request, found: FoundScenes) -> None:
    """Warn of costs; raise InputError if this process, or its machines at Coiled, lack a token for the files.

    Workers of a Dask cluster have another environment. They find out themselves.
    """
    access = asset_access(request.definitions(definitions_of(found)), request.run)
    used = used_access(access, (scene for some in found.values() for scene in some))
    for entry in used:
        if is_charged(entry.access):
            logger.warning("files of %s: the requester pays for requests and transfer", entry.host)
    if request.run.serverless_backend != "dask" and not request.run.dry_run:
        check_variables(used)


@rare_garbage_collection()
def make_plan(request: Request, scenes: FoundScenes, *, build: bool = True) -> CubePlan:
    """Join scenes with tiles, and write the manifests that the workers read.

    Parameters
    ----------
    request : Request
        A checked request.
    scenes : mapping
        Result of `search_scenes`.
    build : bool
        Whether manifests are written next to the store; without them, the plan can only be looked at.

    Raises
    ------
    InputError
        If no tile intersects the geometry.
    """
    tiles = tiles_of(request)
    encoding = _cube_encoding(request, scenes)
    from ardcube.ledger.manifest import write_manifest  # pyarrow is slow to import

    areas = AreaIndex(tiles.outlines(request.mask.halo))
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
    identity = with_encoding(request.identity, encoding, given=request.cube.given_encoding is not None)
    cube = StoredCube(
        config=request.cube,
        identity=identity,
        fingerprint=digest(identity),
        encoding=encoding,
        grid=request.grid,
        periods=request.periods,
        variables=tuple(request.variables),
    )
    access = asset_access(request.definitions(definitions_of(scenes)), request.run)
    spec = cube_spec(cube, request.run, request.mask, request.place, request.ledger, access)
    pools = tuple(dict.fromkeys(source.pool for source in request.sources if source.is_pooled))
    return CubePlan(spec, request.cube.chunk_size, periods, scenes, ChunkJobs(tiles, by_period), pools)


def tiles_of(request: Request) -> Tiles:
    """Return the tiles that are built.

    Raises
    ------
    InputError
        If there are none.
    """
    size, area = request.cube.tile_size, request.area
    if area.clip is not None:
        if tiles := clipped_tiles(area.clip, request.grid, size):
            return tiles
        raise InputError(
            "clip: no pixel has its centre inside of the geometries; choose a finer resolution, or omit --clip"
        )
    if tiles := tiles_meeting(request.grid, size, area.mask):
        return tiles
    raise InputError("no tile intersects the geometry; leave out --use-geometry-mask")


def _searched_periods(request: Request) -> tuple[Period, ...]:
    months, stored = request.run.look_back_months, request.stored
    if months is None or stored is None:
        return request.periods
    tiles = len(tiles_of(request))
    records = request.ledger.records(brief=True).values()
    done = Counter(record.key.period for record in records if record.is_built(request.run.skip_bad_scenes))
    settled = {period for period, chunks in done.items() if chunks >= tiles} - set(lengthened_periods(request))
    return periods_to_search(request.periods, settled, stored["end"], months)


def lengthened_periods(request: Request) -> list[str]:
    """Return labels of periods that a former end of the cube clipped; their records may be of the shorter period."""
    assert request.stored is not None
    end = request.stored["end"]
    grown = {period.label for period in request.periods if period.label < end < period.end_label}
    if request.listed:  # a period of a file is never clipped
        grown = set()
    return sorted(grown.union(request.stored.get("lengthened", ())))


def _cube_encoding(request: Request, scenes: FoundScenes) -> CubeEncoding:
    """Return the encoding of the cube: the stored one, else the one that suits its collection and definitions."""
    if request.stored is not None:
        try:
            return stored_encoding(request.stored)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{request.ledger.place.uri}/cube.json cannot be used: {describe(error)}; build the cube again"
            ) from error
    sources = [one for source in request.sources for one in _encodings_of(request, source, scenes)]
    return choose_encoding(sources, request.cube.given_encoding)


def _encodings_of(request: Request, source: Source, scenes: FoundScenes) -> list[SourceEncoding]:
    """Return the encodings of one collection, by its document and definitions, else by its scenes."""
    bands, known = request.cube.bands, source.definitions
    found = {scene.id: scene for some in scenes.values() for scene in some if scene.collection == source.pool}
    definitions = known.named({scene.definition for scene in found.values()})
    if source.is_pooled and not found:  # later months may have scenes
        definitions = known.of_collection(source.address.collection)
    stated = source_encodings(source.catalog.collection, bands, definitions)
    stated = stated or encodings_of_scenes((scene.bands for scene in found.values()), bands)
    return stated or ([USUAL] if source.is_pooled and found else [])
