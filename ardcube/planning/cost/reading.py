"""Bytes and requests that reading scenes under a window is expected to take (pure).

The reader's rules choose the levels, the blocks of a window, and the ranges of a file that are requested. Which blocks
have a clear pixel is unknown. They are drawn at random, and equal in equal plans.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import Scene
from ardcube.extent.lattice import Lattice
from ardcube.planning.cost.files import File, SampledScene, area_in, scene_files
from ardcube.raster.first_rows import needed_ranges
from ardcube.raster.header import Blocks, Level, stated_nodata
from ardcube.raster.levels import category_level, pixel_at, reflectance_levels

_NO_DATA_SHARE = 1e-3
"""Bytes of a block without data, as a share of its bytes before compression."""
_SURE = 1e-3
"""Difference of a probability from 0 or 1 below which nothing is drawn."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes and requests that reading a file is expected to take."""

    received: float = 0.0
    """Bytes."""
    requests: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """The blocks of a file under a window, and the positions of all blocks of its level."""

    blocks: Blocks
    offsets: NDArray[np.int64]
    """Expected first byte of each block (row, column)."""
    sizes: NDArray[np.int64]
    """Expected bytes of each block (row, column)."""
    seed: int
    """Number of the scene, whose files have clear pixels at the same places."""

    def reading(self, needed: float, draws: int) -> Reading:
        """Return what reading the needed blocks is expected to take.

        Parameters
        ----------
        needed : float
            Probability that a block is needed.
        draws : int
            Random choices of blocks whose mean is returned.
        """
        if needed < _SURE:
            return Reading()
        if needed > 1 - _SURE:
            return self._of(self.blocks)
        shape = self.blocks.needed.shape
        readings = [
            self._of(replace(self.blocks, needed=self.blocks.needed & (_uniform(self.seed + draw, shape) < needed)))
            for draw in range(draws)
        ]
        return Reading(sum(one.received for one in readings) / draws, sum(one.requests for one in readings) / draws)

    def _of(self, blocks: Blocks) -> Reading:
        ranges = needed_ranges(blocks, self.offsets, self.sizes)
        return Reading(sum(end - start for start, end in ranges), len(ranges))


@dataclass(frozen=True, slots=True)
class FileReads:
    """Finds the blocks of files under areas; files and levels of a scene are determined once."""

    lattice: Lattice
    """Of the cube."""
    bands: Sequence[str]
    """Reflectance bands of the cube; other bands of a scene are classifications."""
    samples: Sequence[SampledScene]
    """Scenes whose headers were read."""
    block: int
    """Pixels a side of a block of a file without a header."""
    _scenes: dict[str, dict[str, tuple[File, Level]]] = field(default_factory=dict)
    _sizes: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=dict)

    def levels(self, scene: Scene) -> dict[str, tuple[File, Level]]:
        """Return the file of each band of a scene, and the level that is read of it."""
        if scene.id not in self._scenes:
            files = scene_files(scene, self.samples, self.block, self.bands)
            self._scenes[scene.id] = {band: (files[band], level) for band, level in self._chosen(scene, files).items()}
        return self._scenes[scene.id]

    def target(self, scene: Scene, band: str, area: BaseGeometry, around: float) -> Target | None:
        """Return the blocks of a band within a distance of an area; None if there is none.

        Parameters
        ----------
        scene : Scene
            A scene that can be used.
        band : str
            One of its bands.
        area : geometry
            In degrees.
        around : float
            Distance in units of the file's CRS.
        """
        file, level = self.levels(scene)[band]
        blocks = _blocks_within(level, area_in(file.header.crs, area), around)
        if blocks is None:
            return None
        key = scene.id, band
        if key not in self._sizes:
            self._sizes[key] = _block_sizes(file, level, area_in(file.header.crs, scene.footprint))
        sizes = self._sizes[key]
        offsets = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
        return Target(blocks, offsets, sizes, zlib.crc32(scene.id.encode()))

    def _chosen(self, scene: Scene, files: Mapping[str, File]) -> dict[str, Level]:
        pixels = {band: pixel_at(self.lattice, file.header) for band, file in files.items()}
        levels = {
            band: category_level(files[band].header, pixels[band], scene.bands[band].overviews)
            for band in files
            if band not in self.bands
        }
        bands = [band for band in files if band in self.bands]
        headers = [files[band].header for band in bands]
        stated = [
            stated_nodata(scene.bands[band].nodata, header.dtype) for band, header in zip(bands, headers, strict=True)
        ]
        chosen = reflectance_levels(headers, stated, [pixels[band] for band in bands])
        return levels | dict(zip(bands, chosen, strict=True))


@lru_cache(maxsize=1024)
def _uniform(seed: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return equal numbers for equal seeds."""
    return np.random.default_rng(seed).random(shape)


def _blocks_within(level: Level, area: BaseGeometry, around: float) -> Blocks | None:
    """Return the blocks of a level within a distance of an area of its CRS."""
    if area.is_empty:
        return None
    west, south, east, north = area.bounds
    columns, rows = zip(
        ~level.transform @ (west - around, north + around), ~level.transform @ (east + around, south - around),
        strict=True,
    )  # fmt: skip
    top, left = max(0, int(np.floor(min(rows)))), max(0, int(np.floor(min(columns))))
    bottom, right = min(level.height, int(np.ceil(max(rows)))), min(level.width, int(np.ceil(max(columns))))
    if top >= bottom or left >= right:
        return None
    (height, width), needed = level.block, np.zeros(level.block_grid, bool)
    here = slice(top // height, (bottom - 1) // height + 1), slice(left // width, (right - 1) // width + 1)
    needed[here] = shapely.dwithin(_outlines(level)[here], area, around)
    return Blocks(level, needed, top, left, bottom - top, right - left) if needed.any() else None


@lru_cache(maxsize=64)
def _outlines(level: Level) -> NDArray[np.object_]:
    """Return the areas of the blocks of a level, without their parts outside of the raster (row, column)."""
    (height, width), (rows, columns) = level.block, level.block_grid
    top, left = np.arange(rows)[:, None] * height, np.arange(columns)[None] * width
    bottom, right = np.minimum(top + height, level.height), np.minimum(left + width, level.width)
    t = level.transform
    outlines: NDArray[np.object_] = shapely.box(
        t.c + left * t.a, t.f + bottom * t.e, t.c + right * t.a, t.f + top * t.e
    )
    return outlines


def _block_sizes(file: File, level: Level, footprint: BaseGeometry) -> NDArray[np.int64]:
    """Return the expected bytes of the blocks of a level: in proportion to the part inside of the footprint."""
    height, width = level.block
    least = _NO_DATA_SHARE * height * width * np.dtype(file.header.dtype).itemsize
    shares = _block_shares(level, footprint)
    sizes: NDArray[np.int64] = np.maximum(file.level_bytes[level.index] * shares, least).round().astype(np.int64)
    return sizes


@lru_cache(maxsize=1024)
def _block_shares(level: Level, footprint: BaseGeometry) -> NDArray[np.float64]:
    """Return the share of the data of a level that each block has."""
    outlines = _outlines(level)
    shapely.prepare(footprint)
    part: NDArray[np.float64] = shapely.area(outlines)
    cut = ~shapely.contains_properly(footprint, outlines)
    part[cut] = shapely.area(shapely.intersection(outlines[cut], footprint))
    total = float(part.sum())
    return part / total if total else np.full(part.shape, 1 / part.size)
