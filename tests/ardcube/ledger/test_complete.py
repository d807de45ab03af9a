"""The share of finished tiles counts each planned tile once, and no other chunk."""

import numpy as np

from ardcube.extent.grid import Grid, Tiles
from ardcube.ledger.complete import complete_shares
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey


def record(period: str, row: int, col: int, status: str = "written") -> ChunkRecord:
    return ChunkRecord(ChunkKey(period, row, col), status, "", ())  # type: ignore[arg-type]


def test_planned_tiles_with_pixels_are_counted() -> None:
    grid = Grid.from_bounds((0.0, 0.0, 0.3, 0.2), 0.001)
    tiles = Tiles(grid, 100, np.array([0, 1, 5]))  # of 2 rows and 3 columns
    records = [
        record("2023-01", 0, 0), record("2023-01", 0, 1, "failed"), record("2023-01", 1, 2, "empty"),
        record("2023-02", 1, 0), record("2023-02", 0, 2), record("2023-02", 9, 0), record("2023-02", 0, 9),
        record("2022-12", 0, 0),
    ]  # fmt: skip
    assert complete_shares(["2023-01", "2023-02"], tiles, records).tolist() == [np.float32(2 / 3), 0.0]
