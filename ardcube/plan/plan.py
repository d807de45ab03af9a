"""The whole work: what all chunks have in common, which tiles are built, and what it will take (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import Scene
from ardcube.config import Access, Reader
from ardcube.extent.grid import Grid, Tiles
from ardcube.extent.periods import Period
from ardcube.pixels.masks import CloudMaskHook
from ardcube.plan.jobs import ChunkJobs
from ardcube.runtime.threads import DEFAULT_THREADS, Threads

if TYPE_CHECKING:
    pass


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
    threads: Threads = DEFAULT_THREADS
    """Per worker process, beside those that build chunks."""
    skip_bad_scenes: int = 0
    """Scenes that a chunk may go on without, if they cannot be read."""
    holder: str = ""
    """Id of the claim to the cube that the run holds; workers write nothing once it is another's. Empty: none."""
    chunk_memory: int | None = None
    """That one chunk may take while it is built, in bytes; None is what is fast."""


@dataclass(frozen=True, slots=True)
class CubePlan:
    """The whole work, before the ledger is asked what is done."""

    spec: CubeSpec
    chunk_size: int
    periods: tuple[Period, ...]
    scenes: Mapping[str, Sequence[Scene]] = field(repr=False)
    """By period label."""
    jobs: ChunkJobs = field(repr=False)


def tiles_meeting(grid: Grid, size: int, mask: BaseGeometry | None) -> Tiles:
    """Tiles of the grid; with a mask, those that intersect it."""
    tiles = grid.tiles(size)
    if mask is None:
        return tiles
    shapely.prepare(mask)
    return tiles.where(shapely.intersects(mask, tiles.boxes()))
