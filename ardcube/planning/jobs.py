"""Chunk jobs: one per tile and period, with region and inputs (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.extent.grid import Tiles
from ardcube.extent.periods import Period
from ardcube.extent.window import Window

_AT_ONCE = 4096
"""Jobs that iteration creates at a time."""


def tile_name(row: int, col: int) -> str:
    """Return the name of a tile by its row and column in the grid of tiles."""
    return f"y{row:04d}_x{col:04d}"


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """Identifier of a chunk; it does not change when the cube is extended."""

    period: str
    """Label of the period, such as 2023-01."""
    row: int
    col: int

    def __str__(self) -> str:
        return f"{self.period}_{self.tile}"

    @property
    def tile(self) -> str:
        """Name of its tile, such as ``y0000_x0003``."""
        return tile_name(self.row, self.col)

    @property
    def path(self) -> str:
        """File of the chunk's record, relative to the ledger."""
        return f"chunks/{self.period}/{self.tile}.json"


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """One chunk to build: its region and its inputs. Small and picklable."""

    key: ChunkKey
    time_index: int
    window: Window
    """Region of the chunk in the cube's grid."""
    manifest: str
    """File of the period's scenes, relative to the ledger."""
    inputs: str
    """Hash of the period and of the scenes that the chunk is built from."""
    scenes: int
    """Scenes whose reach intersects the chunk."""
    period: Period
    rebuilt: bool = False
    """Whether the store has pixels of an earlier build."""

    @property
    def pixels(self) -> int:
        """Pixels of one band."""
        height, width = self.window.shape
        return height * width


@dataclass(frozen=True, slots=True)
class PeriodJobs:
    """The jobs of one period, one per tile."""

    period: Period
    manifest: str
    """File of the period's scenes, relative to the ledger."""
    inputs: NDArray[np.uint64]
    """Hash of the period and scenes of each tile (tile,)."""
    scenes: NDArray[np.int32]
    """Scenes whose reach intersects each tile (tile,)."""


def jobs_of_period(period: Period, areas: AreaIndex, scenes: Sequence[Scene], manifest: str) -> PeriodJobs:
    """Join the tiles with the scenes of one period.

    Parameters
    ----------
    period : Period
        Period of the scenes.
    areas : AreaIndex
        Boxes of the tiles with the halo of the cloud mask.
    scenes : sequence of Scene
        Scenes of the period, in order of time, then id.
    manifest : str
        File of the scenes, relative to the ledger.
    """
    starts, members = areas.join(scenes)
    revisions = [json.dumps(scene.revision) for scene in scenes]
    span = json.dumps([period.start.isoformat(), period.end.isoformat()])
    # Equal to `digest([span, revisions])`, which is too slow for a million tiles.
    bounds, positions = starts.tolist(), members.tolist()
    inputs = np.fromiter(
        (
            _hash(f"[{span}, [{', '.join([revisions[scene] for scene in positions[start:end]])}]]")
            for start, end in pairwise(bounds)
        ),
        np.uint64,
        len(bounds) - 1,
    )
    return PeriodJobs(period, manifest, inputs, np.diff(starts).astype(np.int32))


def _hash(text: str) -> int:
    """Return the 16 hexadecimal digits of `digest` as a number."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class ChunkJobs(Sequence[ChunkJob]):
    """Jobs of a plan, stored as arrays; a `ChunkJob` is created on access, because a plan may have a million.

    Ordered by tile, then by period, so that a batch covers neighbouring chunks. A slice is a `ChunkJobs` too.

    Attributes
    ----------
    tiles : Tiles
        Tiles that are built.
    by_period : sequence of PeriodJobs
        Jobs of each period, in order of time.
    scenes : int32 (tile, period)
        Scenes whose reach intersects each tile, also of jobs that are not in this selection.
    """

    def __init__(self, tiles: Tiles, by_period: Sequence[PeriodJobs]) -> None:
        self.tiles = tiles
        self.by_period = tuple(by_period)
        none = np.zeros((len(tiles), 0), np.int32)
        self.scenes = np.stack([jobs.scenes for jobs in self.by_period], axis=1) if by_period else none
        self._inputs = np.stack([jobs.inputs for jobs in self.by_period], axis=1) if by_period else none
        self._built = np.zeros(self.scenes.shape, bool)
        self._chosen = np.arange(self.scenes.size)  # position in (tile, period), flattened

    def __len__(self) -> int:
        """Return the number of jobs."""
        return len(self._chosen)

    @overload
    def __getitem__(self, which: int) -> ChunkJob: ...
    @overload
    def __getitem__(self, which: slice) -> ChunkJobs: ...
    def __getitem__(self, which: int | slice) -> ChunkJob | ChunkJobs:
        """Return one job, or a selection."""
        if isinstance(which, slice):
            return self._some(self._chosen[which])
        return next(self._made(self._chosen[[which]]))

    def __iter__(self) -> Iterator[ChunkJob]:
        """Yield the jobs; none is kept."""
        for start in range(0, len(self), _AT_ONCE):
            yield from self._made(self._chosen[start : start + _AT_ONCE])

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same jobs in the same order."""
        return isinstance(other, ChunkJobs) and len(self) == len(other) and all(map(ChunkJob.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def pixels(self) -> int:
        """Pixels of one band, summed over the jobs."""
        return int(self.tiles.pixels[self._chosen // len(self.by_period)].sum())

    @property
    def reads(self) -> int:
        """Pixels of one band times scenes, summed over the jobs."""
        pixels = self.tiles.pixels[self._chosen // len(self.by_period)]
        return int((pixels * self.scenes.ravel()[self._chosen]).sum())

    def without(self, done: Iterable[tuple[ChunkKey, str]]) -> ChunkJobs:
        """Return the jobs that are not done.

        Parameters
        ----------
        done : iterable of (ChunkKey, str)
            Chunks of which the store has pixels, each with the hash of its inputs, or an empty text if it must be built
            again. A job with other inputs is not done. Chunks without a job are ignored.
        """
        rows, cols = self.tiles.grid.tile_counts(self.tiles.size)
        positions = np.full((rows, cols), -1, np.int32)
        positions[self.tiles.rows, self.tiles.cols] = np.arange(len(self.tiles))
        periods = {jobs.period.label: index for index, jobs in enumerate(self.by_period)}
        is_done, is_built = np.zeros(self.scenes.shape, bool), np.zeros(self.scenes.shape, bool)
        for key, inputs in done:
            tile = int(positions[key.row, key.col]) if 0 <= key.row < rows and 0 <= key.col < cols else -1
            period = periods.get(key.period)
            if tile >= 0 and period is not None:
                is_built[tile, period] = True
                is_done[tile, period] = _as_text(int(self._inputs[tile, period])) == inputs
        left = self._some(self._chosen[~is_done.ravel()[self._chosen]])
        left._built = is_built
        return left

    def _some(self, chosen: NDArray[np.int64]) -> ChunkJobs:
        part = copy(self)
        part._chosen = chosen
        return part

    def _made(self, numbers: NDArray[np.int64]) -> Iterator[ChunkJob]:
        tiles, periods = np.divmod(numbers, len(self.by_period))
        tables = (table[tiles, periods].tolist() for table in (self._inputs, self.scenes, self._built))
        for tile, period, hashed, met, built in zip(self.tiles.where(tiles), periods.tolist(), *tables, strict=True):
            jobs = self.by_period[period]
            yield ChunkJob(
                key=ChunkKey(jobs.period.label, tile.row, tile.col),
                time_index=jobs.period.index,
                window=tile.window,
                manifest=jobs.manifest,
                inputs=_as_text(hashed),
                scenes=met,
                period=jobs.period,
                rebuilt=built,
            )


def _as_text(hashed: int) -> str:
    return f"{hashed:016x}"
