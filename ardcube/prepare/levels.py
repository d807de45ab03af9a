"""Plan the chunks of a pyramid's levels: those above a chunk that has changed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ardcube.errors import StoreError
from ardcube.extent.grid import Grid
from ardcube.extent.levels import level_grids
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.fingerprint import digest
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.prepare.pending import PendingBuild

logger = logging.getLogger(__name__)


def level_builds(base: PendingBuild) -> Iterator[PendingBuild]:
    """Yield the missing chunks of each level of the pyramid, the finest level first.

    The next one is asked for when all chunks of a level have ended, because it is planned from their records. A flat
    cube has no levels.

    Parameters
    ----------
    base : PendingBuild
        Build of the chunks that are made of scenes, all of which have ended.

    Raises
    ------
    StoreError
        If the ledger is damaged.
    """
    spec = base.plan.spec
    if spec.layout == "flat":
        return
    cube = StoredCube.read(base.ledger)
    if cube is None:
        raise StoreError(f"{base.ledger.place.uri}/cube.json is missing; run the build again")
    periods = {period.label: period for period in cube.periods}
    records: Mapping[ChunkKey, ChunkRecord] = base.ledger.records(brief=True)
    for level, grid in enumerate(level_grids(spec.grid)[1:], 1):
        ledger = base.ledger.of_level(level)
        known = ledger.records(brief=True)
        jobs = level_jobs(records, grid, cube.config.tile_size, periods)
        missing = [job for job in jobs if job.key not in known or not known[job.key].is_done(job)]
        logger.info("level %d: %d of %d chunks to build", level, len(missing), len(jobs))
        plan = replace(base.plan, spec=replace(spec, grid=grid, level=level))
        yield PendingBuild(plan, base.place, ledger, missing, len(jobs), known)
        records = ledger.compact()


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
            window=_window(key, grid, tile_size),
            manifest="",
            inputs=_inputs(records),
            scenes=0,
        )
        for key, records in sorted(found.items(), key=lambda entry: (entry[0].period, entry[0].row, entry[0].col))
        for period in (periods[key.period],)
    ]


def _window(key: ChunkKey, grid: Grid, size: int) -> Window:
    y0, x0 = key.row * size, key.col * size
    return Window(y0, min(y0 + size, grid.height), x0, min(x0 + size, grid.width))


def _inputs(records: Sequence[ChunkRecord]) -> str:
    """Return a hash of the chunks below a chunk."""
    return digest(
        sorted(
            [one.key.row, one.key.col, one.status, one.inputs, sorted(one.skipped), _last_started(one)]
            for one in records
        )
    )


def _last_started(record: ChunkRecord) -> str:
    return record.attempts[-1].started if record.attempts else ""
