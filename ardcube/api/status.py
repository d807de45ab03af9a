"""The state of each chunk of a cube, as a table with footprints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, find_cube
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.prepare.levels import count_levels
from ardcube.report.cube_status import CubeStatus

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
        ``2023-06_y0000_x0003``. Columns: `period` (first month or day), `tile` (row and column of the tile), `status`
        (`written`, `empty`, `failed`, or `missing` if no run has built it), `attempts`, `error` (of the last attempt,
        or None), `scenes` (that the composite was made of) and `footprint` (polygon, EPSG:4326).
        ``status(uri).explore("status")`` draws a map, with the packages of ``ardcube[notebook]``. Its `attrs` has the
        numbers of `chunks` that are planned, `due`, `failed` and `missing`, in `levels` the numbers of chunks of each
        level of a pyramid and of those that are built, and in `held_by` the run that holds the lease of the cube, or
        None.

    Raises
    ------
    InputError
        If there is no cube at the URI.
    StoreError
        If its ledger is damaged.
    """
    import geopandas as gpd

    found = find_cube(uri, storage_options)
    planned, records = planned_chunks(found.ledger, found.cube), found.ledger.records(brief=True)
    tiles, labels = planned.tiles, planned.manifests
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
        "attempts": [0 if record is None else record.attempt_count for record in known],
        "error": [_error(record) for record in known],
        "scenes": [0 if record is None else len(record.scenes) for record in known],
        "footprint": [*tiles.outlines()] * len(labels),
    }
    index = [str(key) for key in keys]
    table = gpd.GeoDataFrame(columns, index=index, geometry="footprint", crs="EPSG:4326").rename_axis("chunk")
    state = CubeStatus.take(found.ledger, planned, records.values())
    table.attrs |= {
        "chunks": state.chunks,
        "due": state.due,
        "failed": state.failed,
        "missing": state.missing,
        "levels": [(level.chunks, level.built) for level in count_levels(found.cube, found.ledger)],
        "held_by": None if state.holder is None else str(state.holder),
    }
    return table


def _error(record: ChunkRecord | None) -> str | None:
    """Error of the last attempt of a chunk that failed."""
    return None if record is None or record.status != "failed" else record.error
