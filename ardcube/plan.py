"""What is to be built: one job per tile and period, its destination fixed once (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from ardcube.cloud_mask import CloudMaskHook
from ardcube.config import Access, Reader
from ardcube.grid import Grid, Tile, Window
from ardcube.memory import chunk_bytes
from ardcube.periods import Period
from ardcube.scene_index import SceneIndex
from ardcube.scenes import BandAsset, Scene, digest

TASK_RUNS_PER_FLOW = 1000
"""Prefect drops events of task runs past a few thousand in one flow run."""
SINGLE_CHUNK_LIMIT = 200
"""Up to so many chunks, each has a task run of its own."""
_METRES_PER_DEGREE = 111_320


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """Name of a chunk that stays when the cube grows."""

    period: str
    """Label of its period, such as 2023-01."""
    row: int
    col: int

    def __str__(self) -> str:
        return f"{self.period}_y{self.row:04d}_x{self.col:04d}"

    @property
    def path(self) -> str:
        """Its record's file, relative to the ledger."""
        return f"chunks/{self.period}/y{self.row:04d}_x{self.col:04d}.json"


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """One chunk to build: where it lands and from which scenes. Small and picklable."""

    key: ChunkKey
    time_index: int
    window: Window
    """Region of the chunk in the cube's grid."""
    manifest: str
    """File of its period's scenes, relative to the ledger."""
    inputs: str
    """Hash of the scenes and the period that it is built from."""
    scenes: int
    """How many scenes meet it."""

    @property
    def pixels(self) -> int:
        """Pixels of one band."""
        height, width = self.window.shape
        return height * width


@dataclass(frozen=True, slots=True)
class CubeSpec:
    """What every chunk of a cube has in common; travels with each batch. Picklable."""

    fingerprint: str
    """Hash of the cube's identity."""
    grid: Grid
    periods: int
    """Length of the time axis."""
    bands: tuple[str, ...]
    varname: str
    resampling: str
    offset: float
    """Offset of the cube's reflectance."""
    mask: CloudMaskHook
    store_uri: str
    ledger_uri: str
    storage_options: Mapping[str, Any]
    asset_access: Access
    reader: Reader = "auto"
    requests: int = 16
    """Requests for scenes in flight, per process."""


@dataclass(frozen=True, slots=True)
class CubePlan:
    """The whole work, before the ledger is asked what is done."""

    spec: CubeSpec
    chunk_size: int
    periods: tuple[Period, ...]
    tiles: tuple[Tile, ...]
    scenes: Mapping[str, Sequence[Scene]] = field(repr=False)
    """By period label."""
    jobs: tuple[ChunkJob, ...] = field(repr=False)
    """Tile by tile, and for each tile period by period, so that a batch stays in one place."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a plan will take."""

    chunks: int
    tiles: int
    periods: int
    scenes: int
    """Scenes of all periods."""
    chunk_scenes: int
    """Scenes summed over chunks: how often one is opened."""
    pixels: int
    """Pixels of the cube, bands not counted."""
    bytes_to_read: int
    """Compressed bytes of all windows, if none is cloudy."""
    bytes_per_chunk: int
    """Memory of the largest chunk while it is built, in bytes."""


def tiles_meeting(grid: Grid, chunk_size: int, mask: BaseGeometry | None) -> tuple[Tile, ...]:
    """Tiles of the grid; with a mask, those that intersect it."""
    tiles = tuple(grid.tiles(chunk_size))
    if mask is None:
        return tiles
    shapely.prepare(mask)
    return tuple(tile for tile in tiles if mask.intersects(grid.window_box(tile.window)))


def jobs_of_period(
    grid: Grid, tiles: Sequence[Tile], period: Period, index: SceneIndex, manifest: str, halo: int
) -> list[ChunkJob]:
    """Join the tiles with the scenes of one period.

    Parameters
    ----------
    grid : Grid
        Of the cube.
    tiles : sequence of Tile
        To be built.
    period : Period
        Of the scenes.
    index : SceneIndex
        Scenes of the period.
    manifest : str
        File of the scenes, relative to the ledger.
    halo : int
        Pixels beyond a tile that the mask sees.
    """
    areas = [grid.window_box(tile.window.grow(halo)) for tile in tiles]
    span = [period.start.isoformat(), period.end.isoformat()]
    return [
        ChunkJob(
            key=ChunkKey(period.label, tile.row, tile.col),
            time_index=period.index,
            window=tile.window,
            manifest=manifest,
            inputs=digest([span, [index.scenes[member].revision for member in members]]),
            scenes=len(members),
        )
        for tile, members in zip(tiles, index.meeting_each(areas), strict=True)
    ]


def batches(jobs: Sequence[ChunkJob], periods: int, batch_size: int | None = None) -> Iterator[tuple[ChunkJob, ...]]:
    """Cut jobs into task runs: one chunk each while there are few, else whole tiles' periods.

    Parameters
    ----------
    jobs : sequence of ChunkJob
        Tile by tile.
    periods : int
        Chunks of one tile.
    batch_size : int, optional
        Chunks in a batch; chosen so that there are at most `TASK_RUNS_PER_FLOW` batches when left out.
    """
    if batch_size is None:
        size = 1
        if len(jobs) > SINGLE_CHUNK_LIMIT:
            size = math.ceil(len(jobs) / TASK_RUNS_PER_FLOW)
            if size > 1 and math.ceil(size / periods) * periods <= 2 * size:
                size = math.ceil(size / periods) * periods
    else:
        size = batch_size
    for start in range(0, len(jobs), size):
        yield tuple(jobs[start : start + size])


def estimate(plan: CubePlan) -> Estimate:
    """Say what a plan will take, from the manifest alone."""
    spec = plan.spec
    most_scenes = max((job.scenes for job in plan.jobs), default=0)
    largest = max((job.pixels for job in plan.jobs), default=0)
    per_pixel = {
        label: sum(_bytes_per_pixel(asset, spec.grid.resolution) for asset in scenes[0].bands.values())
        for label, scenes in plan.scenes.items()
        if scenes
    }
    return Estimate(
        chunks=len(plan.jobs),
        tiles=len(plan.tiles),
        periods=len(plan.periods),
        scenes=sum(len(scenes) for scenes in plan.scenes.values()),
        chunk_scenes=sum(job.scenes for job in plan.jobs),
        pixels=sum(job.pixels for job in plan.jobs),
        bytes_to_read=int(sum(job.scenes * job.pixels * per_pixel.get(job.key.period, 0.0) for job in plan.jobs)),
        bytes_per_chunk=chunk_bytes(most_scenes, largest, len(spec.bands)),
    )


def _bytes_per_pixel(asset: BandAsset, resolution: float) -> float:
    """Compressed bytes behind one output pixel, read from the coarsest overview that is fine enough."""
    per_source_pixel = 0.75 * asset.size / asset.pixels if asset.size and asset.pixels else 1.3
    ratio = resolution * _METRES_PER_DEGREE / asset.pixel_size
    level = 2 ** max(0, math.floor(math.log2(ratio))) if ratio >= 1 else 1
    return per_source_pixel * (ratio / level) ** 2
