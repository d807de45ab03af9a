"""Plan the chunks of a pyramid's levels: those above a chunk that has changed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ardcube.errors import StoreError
from ardcube.extent.grid import Grid
from ardcube.extent.levels import level_grids
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.fingerprint import digest
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubeSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LevelBuild:
    """The chunks of a level that a run builds."""

    spec: CubeSpec
    """Spec of the level."""
    ledger: Ledger
    """Ledger of the level."""
    jobs: Sequence[ChunkJob]
    """Chunks that are not done."""
    chunks: int
    """Chunks of the whole level."""
    records: Mapping[ChunkKey, ChunkRecord]
    """Records from before the run."""


def level_builds(spec: CubeSpec, ledger: Ledger) -> Iterator[LevelBuild]:
    """Yield the missing chunks of each level of the pyramid, the finest level first.

    The next one is asked for when all chunks of a level have ended, because it is planned from their records. A flat
    cube has no levels.

    Parameters
    ----------
    spec : CubeSpec
        Spec of the cube, whose chunks that are made of scenes have ended.
    ledger : Ledger
        Ledger of the cube.

    Raises
    ------
    StoreError
        If the ledger is damaged.
    """
    if spec.layout == "flat":
        return
    cube = StoredCube.read(ledger)
    if cube is None:
        raise StoreError(f"{ledger.place.uri}/cube.json is missing; run the build again")
    periods = {period.label: period for period in cube.periods}
    below: Mapping[ChunkKey, ChunkRecord] = ledger.records(brief=True)
    for level, grid in enumerate(level_grids(spec.grid)[1:], 1):
        own = ledger.of_level(level)
        known = own.records(brief=True)
        jobs = level_jobs(below, grid, cube.config.tile_size, periods)
        missing = [job for job in jobs if job.key not in known or not known[job.key].is_done(job)]
        logger.info("level %d: %d of %d chunks to build", level, len(missing), len(jobs))
        yield LevelBuild(replace(spec, grid=grid, level=level), own, missing, len(jobs), known)
        below = own.compact()


@dataclass(frozen=True, slots=True)
class LevelCount:
    """Chunks of one level of a pyramid."""

    level: int
    chunks: int
    """Chunks above those that have a record."""
    built: int
    """Chunks that are built from the present pixels below them."""

    def __str__(self) -> str:
        return f"{self.built} of {self.chunks} chunks of level {self.level}"


def count_levels(cube: StoredCube, ledger: Ledger) -> list[LevelCount]:
    """Return the counts of the chunks of each level, the finest level first; a flat cube has none. Nothing is written.

    A chunk above one that is not built is not built either.
    """
    if cube.config.layout == "flat":
        return []
    periods = {period.label: period for period in cube.periods}
    below: Mapping[ChunkKey, ChunkRecord] = ledger.records(brief=True)
    keys = {key for key in below if key.period in periods}
    counts = []
    for level, grid in enumerate(level_grids(cube.grid)[1:], 1):
        keys = {ChunkKey(key.period, key.row // 2, key.col // 2) for key in keys}
        known = ledger.of_level(level).records(brief=True)
        jobs = level_jobs(below, grid, cube.config.tile_size, periods)
        below = {job.key: known[job.key] for job in jobs if job.key in known and known[job.key].is_done(job)}
        counts.append(LevelCount(level, len(keys), len(below)))
    return counts


def level_jobs(
    below: Mapping[ChunkKey, ChunkRecord], grid: Grid, tile_size: int, periods: Mapping[str, Period]
) -> list[ChunkJob]:
    """Return the chunks of a level that have a chunk below them, ordered by period, row and column.

    Parameters
    ----------
    below : mapping
        Records of the level below.
    grid : Grid
        Grid of the level.
    tile_size : int
        Pixels per side of a tile, which is the same in all levels.
    periods : mapping
        Periods of the cube by label. Chunks of other periods are ignored.

    Returns
    -------
    list of ChunkJob
        The inputs of a job are a hash of the records below: it changes whenever one of these chunks is built again.
    """
    found: dict[ChunkKey, list[ChunkRecord]] = defaultdict(list)
    for key, record in below.items():
        if key.period in periods:
            found[ChunkKey(key.period, key.row // 2, key.col // 2)].append(record)
    return [
        ChunkJob(
            key=key,
            time_index=period.index,
            period=period,
            window=tile_window(key, grid, tile_size),
            manifest="",
            inputs=_inputs(records),
            scenes=0,
        )
        for key, records in sorted(found.items(), key=lambda entry: (entry[0].period, entry[0].row, entry[0].col))
        for period in (periods[key.period],)
    ]


def tile_window(key: ChunkKey, grid: Grid, size: int) -> Window:
    """Return the region of a chunk in a grid of tiles of `size` pixels a side."""
    y0, x0 = key.row * size, key.col * size
    return Window(y0, min(y0 + size, grid.height), x0, min(x0 + size, grid.width))


def _inputs(records: Sequence[ChunkRecord]) -> str:
    """Return a hash of the chunks below a chunk."""
    return digest(
        sorted(
            [one.key.row, one.key.col, one.status, one.inputs, sorted(one.skipped), last_started(one)]
            for one in records
        )
    )


def last_started(record: ChunkRecord) -> str:
    """Return when the last attempt at a chunk began: UTC, ISO 8601, so that later ones compare as greater."""
    return record.attempts[-1].started if record.attempts else ""
