"""Sizes of a plan: scenes, pixels, memory (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ardcube.catalog.file_access import used_access
from ardcube.config import HostAccess
from ardcube.pixels.masks import scene_masks
from ardcube.planning.memory import WORKER_BYTES, Workload, chunk_bytes, chunk_limit, least_bytes
from ardcube.planning.plan import CubePlan, CubeSpec


@dataclass(frozen=True, slots=True)
class Estimate:
    """Sizes of a plan."""

    chunks: int
    tiles: int
    periods: int
    scenes: int
    """Scenes, summed over periods: a scene of overlapping periods counts in each."""
    chunk_scenes: int
    """Scenes summed over chunks."""
    pixels: int
    """Pixels of the cube, bands not counted."""
    bytes_per_chunk: int
    """Memory of the largest chunk while it is built, in bytes."""
    definitions: Mapping[str, int]
    """Scenes by name of the definition that recognized their items; an empty name if none did."""
    access: Sequence[HostAccess]
    """Access to the hosts of the files, as far as definitions state it."""
    cloud_mask: str
    """Name of the cloud mask; of several masks, of which each scene has one, their names."""
    sensors: Mapping[str, int]
    """Scenes by sensor; an empty name if it is unknown."""
    collections: Mapping[str, int]
    """Scenes by id of the collection; without any, the cube has one collection."""


def estimate(plan: CubePlan) -> Estimate:
    """Return the sizes of a plan, computed from its scenes and jobs alone."""
    spec, jobs = plan.spec, plan.jobs
    return Estimate(
        chunks=len(jobs),
        tiles=len(jobs.tiles),
        periods=len(plan.periods),
        scenes=sum(len(scenes) for scenes in plan.scenes.values()),
        chunk_scenes=int(jobs.scenes.sum()),
        pixels=int(jobs.tiles.pixels.sum()) * len(plan.periods),
        bytes_per_chunk=chunk_bytes(largest_work(plan), spec.chunk_memory),
        access=used_access(spec.asset_access, (scene for scenes in plan.scenes.values() for scene in scenes)),
        definitions=dict(Counter(scene.definition for scenes in plan.scenes.values() for scene in scenes)),
        cloud_mask=", ".join(mask.name for mask in scene_masks(spec.mask)) or spec.mask.name,
        sensors=dict(Counter(scene.sensor for scenes in plan.scenes.values() for scene in scenes)),
        collections=_by_collection(plan),
    )


def within_memory(plan: CubePlan, limit: int | None, chunks: int) -> CubePlan:
    """Return the plan with the memory limit of a chunk set.

    Parameters
    ----------
    plan : CubePlan
        Plan of the run.
    limit : int or None
        Bytes that a worker process may take; None is no limit.
    chunks : int
        Chunks that a worker process builds at the same time.

    Raises
    ------
    InputError
        If the limit is too small for the largest chunk.
    """
    if limit is None:
        return plan
    work = largest_work(plan)
    share, least = chunk_limit(limit, chunks, work), least_bytes(work)
    return replace(plan, spec=replace(plan.spec, chunk_memory=share, worker_memory=limit, least_memory=least))


def share_memory(spec: CubeSpec, threads: int) -> tuple[CubeSpec, int]:
    """Divide the memory of a worker process among its threads.

    Each worker decides this, because workers differ, and may join a cluster after the run has begun.

    Parameters
    ----------
    spec : CubeSpec
        What every chunk of the cube has in common.
    threads : int
        Threads of the process that build chunks.

    Returns
    -------
    tuple of CubeSpec and int
        The spec with the memory of one chunk, and how many chunks the process may build at once: as many as have
        enough memory, at least one.
    """
    if spec.worker_memory is None:
        return spec, threads
    available = spec.worker_memory - WORKER_BYTES
    at_once = max(1, min(threads, available // max(1, spec.least_memory)))
    return replace(spec, chunk_memory=available // at_once), at_once


def largest_work(plan: CubePlan) -> Workload:
    """Return the workload of the largest chunk of a plan."""
    spec, tiles = plan.spec, plan.jobs.tiles
    met = int(plan.jobs.scenes.max())
    days = max((len({scene.observation() for scene in scenes}) for scenes in plan.scenes.values()), default=met)
    shape = min(tiles.size, tiles.grid.height), min(tiles.size, tiles.grid.width)
    return Workload.of(
        spec.mask, spec.composites, len(spec.bands), shape, min(met, days), met, spec.grid.metres, spec.quality
    )


def _by_collection(plan: CubePlan) -> dict[str, int]:
    """Return scenes by collection, if the cube has several: also of those without a scene."""
    counts = Counter(scene.collection for scenes in plan.scenes.values() for scene in scenes)
    return {name: counts[name] for name in plan.collections}
