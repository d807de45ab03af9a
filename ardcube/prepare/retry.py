"""Plan a retry: the missing chunks of a cube, from its ledger alone, without a search."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ardcube.catalog.spatial_index import AreaIndex
from ardcube.collections.model import Definition
from ardcube.collections.recognize import in_order
from ardcube.collections.registry import installed_definitions, load_definitions
from ardcube.config import RunConfig
from ardcube.errors import InputError
from ardcube.extent.grid import Tiles
from ardcube.ledger.last_plan import Planned, read_planned
from ardcube.ledger.ledger import Ledger, stored_inputs
from ardcube.ledger.manifest import read_manifest
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import FILL_IDENTITY, StoredCube, check_pixel_rules, no_cube_error
from ardcube.pixels.masks import CloudMaskHook, cloud_mask, mask_options
from ardcube.planning.jobs import ChunkJob, ChunkJobs, ChunkKey, PeriodJobs, jobs_of_period
from ardcube.planning.plan import CubePlan
from ardcube.prepare.definitions import cube_definitions
from ardcube.prepare.file_access import asset_access
from ardcube.prepare.levels import count_levels
from ardcube.prepare.pending import PendingBuild
from ardcube.prepare.spec import cube_spec
from ardcube.stac_output.folder import check_output
from ardcube.storage.place import Place

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """A cube whose missing chunks can be built."""

    run: RunConfig
    place: Place
    """Location of the store."""
    ledger: Ledger
    cube: StoredCube
    planned: Planned

    @property
    def chunks(self) -> int:
        """Chunks of the whole cube."""
        return len(self.planned.tiles) * len(self.planned.manifests)

    def for_writing(self) -> Retry:
        """Return the retry with the store open for writing. The run holds the lease of the cube."""
        from ardcube.store.versions import for_writing  # zarr is slow to import

        return replace(self, place=for_writing(self.place, self.cube.storage_backend))

    def count_missing(self, records: Collection[ChunkRecord]) -> tuple[int, int]:
        """Return how many chunks failed or have too many scenes left out, and how many were never built."""
        done = sum(record.is_built(self.run.skip_bad_scenes) for record in records)
        return len(records) - done, max(0, self.chunks - len(records))

    def count_others(self, records: Collection[ChunkRecord], *, missing: bool) -> int:
        """Return how many chunks were never built and will not be, because only failed ones are built."""
        return 0 if missing else self.count_missing(records)[1]

    def has_all_levels(self) -> bool:
        """Return whether all chunks of the pyramid's levels are built; a flat cube has no levels."""
        return all(level.built == level.chunks for level in count_levels(self.cube, self.ledger))

    def not_done(self, pending: PendingBuild | None, *, missing: bool) -> int:
        """Return how many chunks are not done, given the result of `plan_retry`."""
        if pending is not None:
            return pending.not_done
        return self.count_others(self.ledger.records(brief=True).values(), missing=missing)


def check_retry(run: RunConfig) -> Retry:
    """Read the cube at `run.fsspec_uri` and its last plan; write nothing.

    Raises
    ------
    InputError
        If there is no cube, it was built with other pixel rules, or its last plan is missing.
    """
    from ardcube.store.schema import exists  # zarr is slow to import
    from ardcube.store.versions import for_checking

    if run.overwrite:
        raise InputError("overwrite cannot be combined with a retry; to build the cube again, run the build")
    if run.each is not None:
        raise InputError("each cannot be combined with a retry; run the build again, or retry the cubes one by one")
    place = Place.at(run.fsspec_uri, run.storage_options)
    ledger = Ledger.of_store(place)
    cube = StoredCube.read(ledger)
    if cube is None:
        raise no_cube_error(place, ledger)
    check_pixel_rules(place, cube.identity)
    if FILL_IDENTITY in cube.identity:
        raise InputError(f"fsspec-uri {place.uri} is a filled cube; retry the cube that it was filled from")
    if not exists(for_checking(place, cube.storage_backend)):
        raise InputError(f"fsspec-uri {place.uri} is missing or incomplete; run the build again")
    planned = read_planned(ledger, cube.grid, cube.config.tile_size)
    if planned is None:
        raise InputError(f"{ledger.place.uri} records no plan; run the build again")
    check_output(place, run.stac, run.storage_options)
    patience = run.patience_seconds
    return Retry(run, place.waiting(patience), Ledger(ledger.place.waiting(patience)), cube, planned)


def plan_retry(retry: Retry, *, missing: bool, mask: CloudMaskHook | None = None) -> PendingBuild | None:
    """Plan what a retry builds, from the scenes that the chunks were planned with.

    Parameters
    ----------
    retry : Retry
        Result of `check_retry`.
    missing : bool
        Build also chunks that were never built, or that were planned again from other scenes.
    mask : CloudMaskHook, optional
        Cloud mask of the cube; by default the installed mask that the cube names.

    Returns
    -------
    PendingBuild or None
        None if no chunk is missing, neither of the cube nor of a level of its pyramid. Without jobs, the run builds
        levels only.

    Raises
    ------
    InputError
        If the options of the cloud mask have changed.
    StoreError
        If the manifest of a period is missing or damaged.
    """
    cube, run = retry.cube, retry.run
    mask = mask or cloud_mask(cube.config.cloud_mask, cube.config.cloud_mask_options)
    _check_mask(cube, mask)
    records = retry.ledger.records(brief=True)
    failed = {key for key, record in records.items() if not record.is_built(run.skip_bad_scenes)}
    tiles = retry.planned.tiles if missing else _tiles_of(failed, retry.planned.tiles)
    labels = set(retry.planned.manifests) if missing else {key.period for key in failed}
    by_period = _jobs_by_period(retry, tiles, labels, mask) if len(tiles) else []
    if not by_period and retry.has_all_levels():
        return None
    jobs = ChunkJobs(tiles, by_period)
    access = asset_access(_definitions(retry), run)
    spec = cube_spec(cube, run, mask, retry.place, retry.ledger, access)
    plan = CubePlan(spec, cube.config.chunk_size, cube.periods, {}, jobs)
    left = jobs.without(stored_inputs(records, run.skip_bad_scenes))
    pending: Sequence[ChunkJob] = left if missing else [job for job in left if job.key in failed]
    if not pending and retry.has_all_levels():
        return None
    others = retry.count_others(records.values(), missing=missing)
    return PendingBuild(plan, retry.place, retry.ledger, pending, retry.chunks, records, others)


def _definitions(retry: Retry) -> list[Definition]:
    """Return the definitions that the access to the scenes' files follows: installed ones, and that of a file.

    A header of a file is left out, because the ledger names the file. Otherwise a person who may write the ledger
    could choose the host that gets a secret of this environment.
    """
    try:
        definitions = cube_definitions(retry.cube.config)
    except InputError as error:  # such as a file that exists no more; its scenes are in the ledger
        logger.warning("%s", error)
        definitions = [load_definitions()]
    installed = {definition.name for definition in installed_definitions()}
    return [
        definition if definition.name in installed else _without_headers(definition)
        for definition in in_order(definitions, retry.planned.definitions)
    ]


def _without_headers(definition: Definition) -> Definition:
    kept = tuple(catalogue for catalogue in definition.catalogues if catalogue.access.kind != "header")
    return definition.model_copy(update={"catalogues": kept})


def _tiles_of(keys: Collection[ChunkKey], tiles: Tiles) -> Tiles:
    _, cols = tiles.grid.tile_counts(tiles.size)
    cells = [key.row * cols + key.col for key in keys]
    return tiles.where(np.isin(tiles.rows * cols + tiles.cols, cells))


def _jobs_by_period(retry: Retry, tiles: Tiles, labels: Collection[str], mask: CloudMaskHook) -> list[PeriodJobs]:
    areas = AreaIndex(tiles.outlines(mask.halo))
    manifests: Mapping[str, str] = retry.planned.manifests
    return [
        jobs_of_period(
            period,
            areas,
            read_manifest(retry.ledger.place.uri, manifests[period.label], retry.run.storage_options).scenes,
            manifests[period.label],
        )
        for period in retry.cube.periods
        if period.label in labels and period.label in manifests
    ]


def _check_mask(cube: StoredCube, mask: CloudMaskHook) -> None:
    options = mask_options(mask)
    options = dict(cube.config.cloud_mask_options) if options is None else options
    stored = cube.identity.get("cloud_mask_options")
    if json.loads(json.dumps(options)) != stored:
        raise InputError(
            f"the cloud mask {cube.config.cloud_mask} has options {options} here, and the cube was built with "
            f"{stored}; install the version that it was built with"
        )
