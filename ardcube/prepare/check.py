"""Check a request against the world, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.catalog.check_bands import check_bands
from ardcube.catalog.search import finest_pixel, first_items
from ardcube.config import CubeConfig, RunConfig
from ardcube.config.variables import default_variable
from ardcube.errors import InputError
from ardcube.extent.area import Area, load_area, load_clip
from ardcube.extent.grid import Grid
from ardcube.extent.period_file import cube_periods
from ardcube.extent.periods import Period
from ardcube.ledger.ledger import Ledger
from ardcube.pixels.composites.protocol import Composite, text_of
from ardcube.pixels.composites.registry import composites_of
from ardcube.pixels.masks import CloudMaskHook, cloud_mask
from ardcube.pixels.quality.registry import quality_of
from ardcube.planning.memory import Workload, chunk_limit
from ardcube.prepare.definitions import cube_definitions, cube_sensors
from ardcube.prepare.late_sources import LateSources
from ardcube.prepare.output_grid import grid_like, output_grid
from ardcube.prepare.request import Request
from ardcube.prepare.same_cube import with_stored_cube
from ardcube.prepare.scene_mask import FirstItems, categories_of, check_enough, check_figures, choose_mask
from ardcube.prepare.store_place import check_place
from ardcube.stac_output.folder import check_output
from ardcube.storage.place import Place


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
    sources = LateSources(cube, run, definitions, periods)
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
        check_place(place, ledger, run)
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


def _area_and_grid(cube: CubeConfig, sources: LateSources, periods: Sequence[Period]) -> tuple[Area, Grid]:
    if cube.like is not None:
        grid = grid_like(cube.like)
        return Area(grid.outline, clip=load_clip(cube)), grid
    area = load_area(cube)
    return area, output_grid(
        cube, area, lambda: finest_pixel(sources.open(area.bounds), cube.bands, area.bounds, periods)
    )


def _check_memory(run: RunConfig, work: Workload) -> None:
    """Raise InputError if the memory limit is too small for a chunk with two scenes on every day of a period.

    Each collection may have another sensor, and scenes on every day.

    How many chunks a cluster's worker builds at once is not known yet.
    """
    at_once = run.local_threads if run.serverless_backend == "local" else 1
    chunk_limit(run.memory_bytes, at_once, work)
