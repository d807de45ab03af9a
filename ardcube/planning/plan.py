"""The plan of a cube: what all chunks have in common, its periods, scenes and jobs (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import Scene
from ardcube.config import AssetAccess, Reader
from ardcube.config.cube import StoreLayout
from ardcube.config.encoding import CubeEncoding
from ardcube.config.store import StorageBackend
from ardcube.extent.grid import Grid, Tiles
from ardcube.extent.periods import Period
from ardcube.extent.reproject import from_degrees
from ardcube.pixels.composites.per_band import Median
from ardcube.pixels.composites.protocol import OBSERVATION_COUNT, Composite, Layer
from ardcube.pixels.composites.registry import named_layers
from ardcube.pixels.masks import CloudMaskHook
from ardcube.pixels.quality.registry import NO_QUALITY, Quality
from ardcube.planning.arrays import StoredArray, stored_arrays
from ardcube.planning.jobs import ChunkJobs
from ardcube.runtime.threads import DEFAULT_THREADS, Threads


@dataclass(frozen=True, slots=True)
class CubeSpec:
    """The properties that all chunks of a cube share. Picklable, because each batch contains them."""

    fingerprint: str
    """Hash of the cube's identity."""
    grid: Grid
    periods: int
    """Length of the time axis."""
    bands: tuple[str, ...]
    varname: str
    """Name of the variable if there is one composite."""
    resampling: str
    encoding: CubeEncoding
    """Encoding of the cube's reflectance."""
    mask: CloudMaskHook
    store_uri: str
    ledger_uri: str
    storage_options: Mapping[str, Any]
    asset_access: AssetAccess
    reader: Reader = "auto"
    threads: Threads = DEFAULT_THREADS
    """Threads of a worker process for requests and decoding."""
    patience: float = 0.0
    """Seconds to wait for a store that does not answer."""
    skip_bad_scenes: int = 0
    """Scenes per chunk that may be left out if they cannot be read."""
    allow_loss: float = 1.0
    """Share of its clear pixels that a chunk may lose when it is built again."""
    holder: str = ""
    """Holder of the run's lease. Workers write nothing once another run holds it; empty means no lease."""
    chunk_memory: int | None = None
    """Bytes that building one chunk may take; None chooses the fastest way."""
    worker_memory: int | None = None
    """Bytes that a worker process may take; None is no limit."""
    least_memory: int = 0
    """Bytes that building the largest chunk takes at least."""
    composites: tuple[Composite, ...] = (Median(),)
    clip: str = ""
    """Fingerprint of the geometries that clip the cube, which are in its ledger; empty if the cube is not clipped."""
    quality: Quality = NO_QUALITY
    """Quality layers of the cube."""
    enough: int | None = None
    """Clear days that the composite of a pixel has at most, the least cloudy ones; None is no limit."""
    layout: StoreLayout = "flat"
    """Layout of the store."""
    storage_backend: StorageBackend = "fsspec"
    """How the store is kept."""
    filling: tuple[Layer, ...] = ()
    """Variables that a filled cube has in addition."""
    level: int = 0
    """Level of the pyramid that `grid` is the grid of; 0 is built from scenes."""

    @property
    def group_uri(self) -> str:
        """Address of the group that holds the arrays."""
        return self.store_uri if self.layout == "flat" else f"{self.store_uri}/{self.level}"

    @property
    def arrays(self) -> tuple[StoredArray, ...]:
        """Arrays of the store, or of each level of its pyramid."""
        return stored_arrays(self.variables, self.bands, self.layout)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Variables of the composites, in their order, each with its name."""
        return tuple(layer for _, layers in named_layers(self.composites, self.varname) for layer in layers)

    @property
    def variables(self) -> tuple[Layer, ...]:
        """All variables of the store: composites, quality layers, the count of observations, layers of a filling."""
        return (*self.layers, *self.quality.layers, OBSERVATION_COUNT, *self.filling)

    @property
    def reduced(self) -> tuple[Composite, ...]:
        """The composites, and the quality layers that are computed as composites are: the first variables."""
        return (*self.composites, *self.quality.composites)


@dataclass(frozen=True, slots=True)
class CubePlan:
    """Jobs of a cube, done or not."""

    spec: CubeSpec
    chunk_size: int
    periods: tuple[Period, ...]
    scenes: Mapping[str, Sequence[Scene]] = field(repr=False)
    """Scenes by period label."""
    jobs: ChunkJobs = field(repr=False)
    collections: tuple[str, ...] = ()
    """Ids of the collections, if the cube has several."""


def definitions_of(scenes: Mapping[str, Sequence[Scene]]) -> set[str]:
    """Return the names of the definitions that recognized the items of scenes, by period label."""
    return {scene.definition for found in scenes.values() for scene in found}


def tiles_meeting(grid: Grid, size: int, mask: BaseGeometry | None) -> Tiles:
    """Return the tiles of a grid; with a mask geometry in degrees, only those that intersect it."""
    tiles = grid.tiles(size)
    if mask is None:
        return tiles
    mask = from_degrees(mask, grid.lattice.crs)
    shapely.prepare(mask)
    return tiles.where(shapely.intersects(mask, tiles.boxes()))
