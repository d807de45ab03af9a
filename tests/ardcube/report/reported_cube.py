"""A cube with pixels and records, made without scenes, for tests of its report page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from ardcube.chunk.open_cube import open_cube
from ardcube.config import CubeConfig
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from ardcube.store import schema
from tests.strategies import cube_spec

BANDS = ("red", "green", "blue", "nir")
GRID = Grid.from_bounds((500_000.0, 5_180_000.0, 501_920.0, 5_181_280.0), 20.0, "EPSG:32633")
"""64 rows, 96 columns of 20 m."""
TILE = 16


@dataclass(frozen=True, slots=True)
class Reported:
    """A cube, and the names that a report needs."""

    place: Place
    ledger: Ledger
    cube: StoredCube


def make(
    folder: Path,
    *,
    name: str = "alps.zarr",
    grid: Grid = GRID,
    months: int = 3,
    errors: Mapping[ChunkKey, str] | None = None,
    missing: Sequence[ChunkKey] = (),
    **config: object,
) -> Reported:
    """Write a cube, monthly from 2023-01, whose chunks are all written, except for the named ones.

    Parameters
    ----------
    folder : Path
        Folder of the store.
    name : str
        Name of the store.
    grid : Grid
        Grid of the cube.
    months : int
        Number of periods.
    errors : mapping
        Error by chunk that failed.
    missing : sequence of ChunkKey
        Chunks without a record.
    config
        Further fields of the configuration.
    """
    place = Place.at(str(folder / name))
    periods = calendar_periods(date(2023, 1, 1), date(2023 + (months - 1) // 12, (months - 1) % 12 + 1, 1), 1)
    values: dict[str, object] = {"bbox": grid.outline.bounds, "resolution": 20.0, "crs": "EPSG:32633", "bands": BANDS}
    values |= {"start_date": periods[0].start, "end_date": periods[-1].start, "chunk_size": TILE, **config}
    cube = StoredCube(CubeConfig(**values), {}, "f", CubeEncoding(offset=-0.1), grid, periods)
    spec = cube_spec(
        grid, place.uri, periods=months, bands=cube.config.bands, varname="rgb_median", encoding=cube.encoding
    )
    schema.create(place, spec, periods, TILE)
    ledger, store, failed = Ledger.of_store(place), open_cube(spec).store, errors or {}
    records = []
    for index, period in enumerate(periods):
        for tile in grid.tiles(TILE):
            key, window = ChunkKey(period.label, tile.row, tile.col), tile.window
            if key in missing:
                continue
            if key in failed:
                records.append(ChunkRecord(key, "failed", "h", (Attempt("t", "here", 2.0, failed[key]),) * 2))
                continue
            y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
            ramps = {
                "red": 1500 + 20 * y,
                "green": 1500 + 15 * x,
                "blue": 1400 + 400 * index + 0 * y,
                "nir": 3000 + x + y,
            }
            pixels = np.stack([ramps[band] for band in cube.config.bands], axis=-1)
            store.write_chunk(index, window, pixels.astype(np.uint16), np.full(y.shape, index + 1, np.uint16))
            records.append(written(key, days=index + 1.0))
    for record in records:
        ledger.write(record)
    return Reported(place, ledger, cube)


def written(key: ChunkKey, days: float) -> ChunkRecord:
    return ChunkRecord(
        key,
        "written",
        "h",
        (Attempt("2023-02-01T00:00:00+00:00", "here", 1.5),),
        scenes=(f"S2A_{key.period}_1", f"S2B_{key.period}_2"),
        statistics={"days": 3, "mean_clear_days": days, "observed_share": 1.0},
        seconds={"mask": 0.5, "bands": 1.0},
        byte_counts={"read": 1_000_000, "written": 2_000},
    )
