"""Building just what is missing of a cube, as it was planned: from its ledger alone, without a catalogue."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, is_dataclass

import numpy as np

from ardcube.catalog.spatial_index import AreaIndex
from ardcube.config import RunConfig
from ardcube.errors import InputError
from ardcube.ledger.last_plan import Planned, read_planned
from ardcube.ledger.ledger import Ledger, finished
from ardcube.ledger.manifest import read_manifest
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.pixels.masks import CloudMaskHook
from ardcube.plan.jobs import ChunkJob, ChunkJobs, ChunkKey, jobs_of_period
from ardcube.plan.plan import CubePlan, CubeSpec
from ardcube.runtime.threads import Threads
from ardcube.storage.place import Place


@dataclass(frozen=True, slots=True)
class Retry:
    """A cube whose missing chunks can be built."""

    run: RunConfig
    place: Place
    """Of the store."""
    ledger: Ledger
    cube: StoredCube
    planned: Planned

    @property
    def chunks(self) -> int:
        """Chunks of the whole cube."""
        return len(self.planned.tiles) * len(self.planned.manifests)


def check_retry(run: RunConfig) -> Retry:
    """Find the cube of a retry; write nothing.

    Raises
    ------
    InputError
        If there is no cube, or nothing that says how it was planned.
    """
    from ardcube.store.schema import is_there  # zarr is slow to import

    if run.overwrite:
        raise InputError("overwrite and a retry exclude each other; to build the cube anew, run the build")
    place = Place.at(run.fsspec_uri, run.storage_options)
    ledger = Ledger.beside(place)
    cube = StoredCube.read(ledger)
    if cube is None:
        raise InputError(
            f"fsspec-uri {place.uri} is no cube of ardcube: there is no {ledger.place.uri}/cube.json; build it first"
        )
    if not is_there(place):
        raise InputError(f"fsspec-uri {place.uri} is gone or incomplete; run the build again")
    planned = read_planned(ledger, cube.grid, cube.config.tile_size)
    if planned is None:
        raise InputError(f"nothing in {ledger.place.uri} says what was planned; run the build again")
    return Retry(run, place, ledger, cube, planned)


def count_missing(retry: Retry, records: Collection[ChunkRecord]) -> tuple[int, int]:
    """How many chunks failed or have too many scenes left out, and how many were never built."""
    done = sum(record.is_built(retry.run.skip_bad_scenes) for record in records)
    return len(records) - done, max(0, retry.chunks - len(records))


def plan_retry(
    retry: Retry, mask: CloudMaskHook, records: dict[ChunkKey, ChunkRecord], *, missing: bool
) -> tuple[CubePlan, Sequence[ChunkJob]] | None:
    """Plan what a retry builds: with the scenes that the chunks were planned with. None where nothing is missing.

    Parameters
    ----------
    retry : Retry
        That was checked.
    mask : CloudMaskHook
        Of the cube.
    records : dict
        The ledger.
    missing : bool
        Also chunks that were never built, or were planned anew from other scenes.

    Returns
    -------
    CubePlan
        Its jobs are those of the tiles and periods that are concerned.
    sequence of ChunkJob
        Those to build.

    Raises
    ------
    InputError
        If the cloud mask is another one by now, or the scenes are gone.
    """
    cube, tiles = retry.cube, retry.planned.tiles
    _check_mask(cube, mask)
    most = retry.run.skip_bad_scenes
    failed = {key for key, record in records.items() if not record.is_built(most)}
    labels = set(retry.planned.manifests) if missing else {key.period for key in failed}
    if not missing:
        _, cols = tiles.grid.tile_counts(tiles.size)
        cells = [key.row * cols + key.col for key in failed]
        tiles = tiles.where(np.isin(tiles.rows * cols + tiles.cols, cells))
    if not len(tiles):
        return None
    areas = AreaIndex(tiles.boxes(mask.halo))
    by_period = []
    for period in cube.periods:
        if period.label in labels and period.label in retry.planned.manifests:
            manifest = retry.planned.manifests[period.label]
            scenes = read_manifest(retry.ledger.place.uri, manifest, retry.run.storage_options).scenes
            by_period.append(jobs_of_period(period, areas, scenes, manifest))
    if not by_period:
        return None
    jobs = ChunkJobs(tiles, by_period)
    plan = CubePlan(_spec(retry, mask), cube.config.chunk_size, cube.periods, {}, jobs)
    if missing:
        pending = jobs.without(finished(records, most))
        return (plan, pending) if pending else None
    return plan, [job for job in jobs if job.key in failed]


def _check_mask(cube: StoredCube, mask: CloudMaskHook) -> None:
    options = asdict(mask) if is_dataclass(mask) else dict(cube.config.cloud_mask_options)
    there = cube.identity.get("cloud_mask_options")
    if json.loads(json.dumps(options)) != there:
        raise InputError(
            f"the cloud mask {cube.config.cloud_mask} has options {options} here, and the cube was built with {there}; "
            "install the version that it was built with"
        )


def _spec(retry: Retry, mask: CloudMaskHook) -> CubeSpec:
    config, run = retry.cube.config, retry.run
    return CubeSpec(
        fingerprint=retry.cube.fingerprint,
        grid=retry.cube.grid,
        periods=len(retry.cube.periods),
        bands=config.bands,
        varname=config.varname,
        resampling=config.resampling,
        offset=retry.cube.offset,
        mask=mask,
        store_uri=retry.place.uri,
        ledger_uri=retry.ledger.place.uri,
        storage_options=dict(run.storage_options),
        asset_access=run.asset_access,
        reader=run.reader,
        skip_bad_scenes=run.skip_bad_scenes,
        threads=Threads(run.requests, run.decode_threads or 0),
    )
