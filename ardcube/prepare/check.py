"""Check a request against the world, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.check_bands import check_bands
from ardcube.catalog.footprints import FootprintCatalog
from ardcube.catalog.search import finest_pixel, first_items, open_catalog
from ardcube.catalog.selection import SelectedCatalog, check_properties, query_of
from ardcube.catalog.source import Source
from ardcube.collections.recognize import Definitions
from ardcube.config import CollectionAddress, CubeConfig, RunConfig
from ardcube.config.store import StorageBackend
from ardcube.config.variables import MEDIAN, default_variable
from ardcube.errors import InputError, StoreError, UnreachableError, UnwritableError
from ardcube.extent.area import Area, load_area, load_clip
from ardcube.extent.grid import Grid
from ardcube.extent.period_file import cube_periods
from ardcube.extent.periods import Period
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.ledger.stored_cube import backend_of, check_pixel_rules, with_encoding
from ardcube.pixels.composites.protocol import Composite, text_of
from ardcube.pixels.composites.registry import composites_of
from ardcube.pixels.masks import CloudMaskHook, cloud_mask
from ardcube.pixels.quality.registry import quality_of
from ardcube.planning.memory import Workload, chunk_limit
from ardcube.prepare.definitions import cube_definitions, cube_sensors
from ardcube.prepare.extents import extent_reader
from ardcube.prepare.file_access import asset_access
from ardcube.prepare.output_grid import grid_like, output_grid
from ardcube.prepare.request import Request
from ardcube.prepare.scene_mask import FirstItems, categories_of, check_enough, check_figures, choose_mask
from ardcube.stac_output.folder import check_output
from ardcube.storage.failures import explain
from ardcube.storage.place import Place
from ardcube.storage.writable import can_write


def check_request(
    cube: CubeConfig, run: RunConfig, mask: CloudMaskHook | None = None, *, build: bool = True
) -> Request:
    """Check a request against files, the store and the catalogue, the cheapest check first; write nothing.

    Libraries that build chunks are not imported, because a mistake should be reported within a second.

    Parameters
    ----------
    cube, run : CubeConfig, RunConfig
        The request.
    mask : CloudMaskHook, optional
        Cloud mask of the cube; by default the installed mask that `cube` names.
    build : bool
        Whether the store will be written. If not, the store is not looked at.

    Raises
    ------
    InputError
        If the request cannot be met. The message names the value, the problem and the remedy.
    """
    mask = mask or cloud_mask(cube.cloud_mask, cube.cloud_mask_options)
    composites = composites_of(cube.composites, cube.varname, cube.bands)
    cube = _with_texts_of(cube, composites)
    definitions = cube_definitions(cube)
    periods = cube_periods(cube, cube.end_date)
    sources = _LateSources(cube, run, definitions, periods)
    area, grid = _area_and_grid(cube, sources, periods)
    rows, cols = grid.tile_counts(cube.chunk_size)
    chunks = rows * cols * len(periods)
    if chunks > run.most_chunks and not run.yes:
        raise InputError(
            f"the cube has {chunks} chunks ({rows} x {cols} tiles, {len(periods)} periods), more than max-chunks "
            f"{run.most_chunks}; choose a smaller area or a coarser resolution, or confirm with --yes"
        )
    cube, mask = choose_mask(
        cube,
        mask,
        lambda: (
            FirstItems(
                source.definitions,
                first_items(source.catalog, area.bounds, periods),
                source.definitions.of_collection(source.address.collection) if source.is_pooled else (),
            )
            for source in sources.open(area.bounds)
        ),
    )
    quality = quality_of(cube.quality, composites, cube.varname, mask, cube_sensors(cube, definitions))
    check_figures(mask, composites)
    check_enough(cube, mask, quality)
    place = Place.at(run.fsspec_uri, run.storage_options)
    ledger = Ledger.of_store(place)
    if run.memory_limit is not None:
        shape = min(cube.tile_size, grid.height), min(cube.tile_size, grid.width)
        days = max((period.end - period.start).days for period in periods) * len(cube.collections)
        workload = Workload.of(mask, composites, len(cube.bands), shape, days, 2 * days, grid.metres, quality)
        _check_memory(run, workload)
    if build:
        _check_place(place, ledger, run)
        check_output(place, run.stac, run.storage_options)
    opened = sources.open(area.bounds)
    for source in opened:
        check_bands(source, source.parser(cube.bands, categories_of(mask)), grid, periods)
    request = Request(
        cube=cube,
        run=run,
        mask=mask,
        composites=composites,
        quality=quality,
        area=area,
        grid=grid,
        periods=periods,
        sources=opened,
        place=place.waiting(run.patience_seconds),
        ledger=Ledger(ledger.place.waiting(run.patience_seconds)),
        stored=None,
    )
    return with_stored_cube(request) if build else request


def _with_texts_of(cube: CubeConfig, composites: Sequence[Composite]) -> CubeConfig:
    """Return the cube with the one text of each composite: ``percentile:25`` for ``percentile:25.0``."""
    texts = tuple(map(text_of, composites))
    named = cube.varname if cube.varname != default_variable(cube.composites) else default_variable(texts)
    return cube.model_copy(update={"composites": texts, "varname": named})


class _LateSources:
    """The collections of a request, opened when they are needed: after the cheaper checks."""

    def __init__(
        self, cube: CubeConfig, run: RunConfig, definitions: Sequence[Definitions], periods: Sequence[Period]
    ) -> None:
        self._request = cube, run, periods
        self._definitions = definitions
        self._opened: tuple[Source, ...] = ()

    def open(self, bounds: tuple[float, float, float, float]) -> tuple[Source, ...]:
        """Return the collections; check, for an area in degrees, that items have the properties of the query."""
        self._opened = self._opened or tuple(
            self._source(address, definitions, bounds)
            for address, definitions in zip(self._request[0].collections, self._definitions, strict=True)
        )
        return self._opened

    def _source(
        self, address: CollectionAddress, definitions: Definitions, bounds: tuple[float, float, float, float]
    ) -> Source:
        cube, run, periods = self._request
        policy, is_pooled = AccessPolicy(address.stac_url, run.allow_asset_roots), len(cube.collections) > 1
        found = open_catalog(
            address.stac_url, address.collection, run.allow_asset_roots, run.patience_seconds, alone=not is_pooled
        )
        check_properties(found, cube.comparisons, bounds, periods, address.collection if is_pooled else "")
        catalog = FootprintCatalog(
            SelectedCatalog(found.selecting(query_of(cube.comparisons)), cube.comparisons, cube.kept_months),
            cube.bands[0],
            policy,
            extent_reader(asset_access(definitions.in_order(), run), run.reader),
            definitions,
        )
        return Source(address, catalog, definitions, policy, is_pooled)


def _area_and_grid(cube: CubeConfig, sources: _LateSources, periods: Sequence[Period]) -> tuple[Area, Grid]:
    if cube.like is not None:
        grid = grid_like(cube.like)
        return Area(grid.outline, clip=load_clip(cube)), grid
    area = load_area(cube)
    return area, output_grid(
        cube, area, lambda: finest_pixel(sources.open(area.bounds), cube.bands, area.bounds, periods)
    )


def with_stored_cube(request: Request) -> Request:
    """Return the request with what `cube.json` says now.

    Called again once the run holds the lease, because another run may have created or extended the cube meanwhile.

    Raises
    ------
    InputError
        If the existing cube has another configuration.
    """
    stored = None if request.run.overwrite else request.ledger.read_cube()
    if stored is not None:
        _check_same_cube(request, stored)
    return replace(request, stored=stored)


def _check_memory(run: RunConfig, work: Workload) -> None:
    """Raise InputError if the memory limit is too small for a chunk with two scenes on every day of a period.

    Each collection may have another sensor, and scenes on every day.

    How many chunks a cluster's worker builds at once is not known yet.
    """
    at_once = run.local_threads if run.serverless_backend == "local" else 1
    chunk_limit(run.memory_bytes, at_once, work)


def _check_place(place: Place, ledger: Ledger, run: RunConfig) -> None:
    """Raise InputError if the store's location holds something else, or is not in the state that the run needs."""
    backend = run.storage_backend
    if backend != "fsspec":
        from ardcube.store.repository import check_backend  # zarr is slow to import

        check_backend(place)
    try:
        stored = ledger.read_cube()
        has_cube = stored is not None
        if stored is not None:
            _check_same_backend(place, backend, stored)
        exists = place.exists()
        complete = (has_cube or not run.initialize) and _is_complete(place, backend)
    except (StoreError, InputError) as error:
        raise InputError(str(error)) from error
    except Exception as error:  # a filesystem may raise whatever its library does
        kind = InputError if isinstance(explain(error, place.uri), UnwritableError) else UnreachableError
        raise kind(
            f"fsspec-uri {place.uri} cannot be reached: {' '.join(str(error).split())}; check the address and "
            "the credentials"
        ) from error
    if not has_cube and exists and not (place.is_local and _is_empty_folder(place)):
        raise InputError(
            f"fsspec-uri {place.uri} holds something that ardcube did not write (there is no {place.uri}{SUFFIX}); "
            "choose another location"
        )
    if place.is_local and not can_write(Path(place.path)):
        raise InputError(f"fsspec-uri {place.uri} cannot be written; choose a folder that you may write to")
    if not run.initialize and not complete:
        raise InputError(f"fsspec-uri {place.uri} holds no cube; drop --no-initialize to create one")
    has_records = has_cube and ledger.place.list("chunks") + ledger.place.list("ledger.parquet")
    if has_records and not complete and not run.overwrite:
        raise InputError(
            f"fsspec-uri {place.uri} is missing, but {place.uri}{SUFFIX} lists chunks of it; restore it, or "
            "build it again with --overwrite"
        )


def _check_same_backend(place: Place, backend: StorageBackend, stored: dict[str, Any]) -> None:
    """Raise InputError if an existing cube has another storage backend, which even `overwrite` does not change."""
    existing = backend_of(stored["identity"])
    if existing != backend:
        raise InputError(
            f"fsspec-uri {place.uri}: storage-backend is {existing} there and {backend} here; choose another "
            "location, or the same storage-backend"
        )


def _is_complete(place: Place, backend: StorageBackend) -> bool:
    from ardcube.store.schema import exists  # zarr is slow to import
    from ardcube.store.versions import for_checking

    return exists(for_checking(place, backend))


def _is_empty_folder(place: Place) -> bool:
    return bool(place.fs.isdir(place.path)) and not place.fs.ls(place.path)


def _check_same_cube(request: Request, stored: dict[str, Any]) -> None:
    """Raise InputError, with both values, if the existing cube has another configuration or other pixel rules."""
    requested, existing = request.identity, stored["identity"]
    check_pixel_rules(request.place, existing)
    given = request.cube.given_encoding
    if given is not None:
        requested = with_encoding(requested, given.encoding(), given=True)
    elif stored["config"].get("encoding") is None and "encoding" in existing:
        requested["encoding"] = existing["encoding"]  # it follows from the collection, which is the same
    there, here = _with_usual(existing), _with_usual(requested)
    differences = [
        f"{name.replace('_', '-')} is {_shown(there.get(name))} there and {_shown(here.get(name))} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if not differences and request.end < stored["end"]:
        last = _last(stored["end"])
        raise InputError(
            f"--end-date {request.cube.end_date}: the cube at {request.place.uri} reaches to {last}, and a build "
            f"keeps all of its periods; give {last} or later, another location, or --overwrite"
        )
    if not differences and (moved := _first_difference(stored.get("periods"), request.listed)):
        differences = [moved]
    if differences:
        raise InputError(
            f"fsspec-uri {request.place.uri} holds another cube: {'; '.join(differences)}; choose another location, "
            "the same configuration, or --overwrite"
        )


def _with_usual(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity with the values that it does not state because they are the usual ones."""
    usual = {
        "composites": [MEDIAN],
        "layout": "flat",
        "quality": [],
        "shard": 1,
        "storage_backend": "fsspec",
    }
    shown = {name: value for name, value in identity.items() if value is not None}
    if (months := shown.pop("time_frequency_months", None)) is not None:
        shown["period"] = f"{months}M"
    return usual | shown


def _shown(value: Any) -> str:
    return "not given" if value is None else repr(value)


def _last(end: Any) -> str:
    """Return the last month or day before the end of a time axis, which `cube.json` states and may be edited."""
    try:
        before = date.fromisoformat(f"{end}-01"[:10]) - timedelta(days=1)
    except ValueError:
        return f"before {end!s:.40}"
    return f"{before:%Y-%m-%d}" if len(end) > len("2023-01") else f"{before:%Y-%m}"


def _first_difference(stored: Any, requested: Sequence[Any]) -> str:
    """Return the first period of a file that differs from the stored one; a longer file is no difference."""
    if not requested:  # the periods of this cube follow from its identity
        return ""
    if not isinstance(stored, list):
        return f"its periods are {stored!r:.60} there"
    for number, found in enumerate(stored):
        given = requested[number] if number < len(requested) else None
        if given != found:
            return f"period {number + 1} is {found!r:.60} there and {given!r:.60} here"
    return ""
