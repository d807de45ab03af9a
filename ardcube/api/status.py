"""The state of each chunk of a cube, as a table with footprints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, find_cube
from ardcube.ledger.last_plan import read_planned
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey

if TYPE_CHECKING:
    import geopandas as gpd

MISSING = "missing"
"""Status of a chunk that no run has built."""


def status(uri: Uri, *, storage_options: Mapping[str, Any] | None = None) -> gpd.GeoDataFrame:
    """Return the state of every planned chunk of a cube.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    storage_options : mapping, optional
        Options of the store's filesystem.

    Returns
    -------
    geopandas.GeoDataFrame
        One row per chunk, in order of time, row and column; the index is the chunk's key, such as
        ``2023-06_y0000_x0003``. Columns: `period` (first month), `tile` (row and column of the tile), `status`
        (`written`, `empty`, `failed`, or `missing` if no run has built it), `attempts`, `error` (of the last attempt,
        or None), `scenes` (that the composite was made of) and `footprint` (polygon, EPSG:4326).
        ``status(uri).explore("status")`` draws a map, with the packages of ``ardcube[notebook]``.

    Raises
    ------
    InputError
        If there is no cube at the URI.
    StoreError
        If its ledger is damaged.
    """
    import geopandas as gpd

    found = find_cube(uri, storage_options)
    config, grid = found.cube.config, found.cube.grid
    planned = read_planned(found.ledger, grid, config.tile_size)
    records = found.ledger.records(brief=True)
    tiles = planned.tiles if planned is not None else grid.tiles(config.tile_size)
    labels = planned.manifests if planned is not None else [period.label for period in found.cube.periods]
    keys = [
        ChunkKey(label, int(row), int(col))
        for label in sorted(labels)
        for row, col in zip(tiles.rows, tiles.cols, strict=True)
    ]
    known = [records.get(key) for key in keys]
    columns = {
        "period": [key.period for key in keys],
        "tile": [key.tile for key in keys],
        "status": [MISSING if record is None else record.status for record in known],
        "attempts": [0 if record is None else len(record.attempts) for record in known],
        "error": [_error(record) for record in known],
        "scenes": [0 if record is None else len(record.scenes) for record in known],
        "footprint": [*tiles.boxes()] * len(labels),
    }
    index = [str(key) for key in keys]
    return gpd.GeoDataFrame(columns, index=index, geometry="footprint", crs="EPSG:4326").rename_axis("chunk")


def _error(record: ChunkRecord | None) -> str | None:
    """Error of the last attempt of a chunk that failed."""
    return None if record is None or record.status != "failed" else record.error
