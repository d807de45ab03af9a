"""Write what describes the whole cube at the end of a run: the share of finished tiles, and STAC documents."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ardcube.config import RunConfig
from ardcube.ledger.complete import complete_shares
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube, no_cube_error
from ardcube.stac_output.folder import NONE
from ardcube.stac_output.write import write_stac
from ardcube.storage.place import Place

logger = logging.getLogger(__name__)


def finalize(run: RunConfig, store: Place, ledger: Ledger, records: Iterable[ChunkRecord]) -> None:
    """Write `complete` from the records of all chunks, then the STAC documents that the run requests.

    Both state how much is built, so they are written for a run with failed chunks too. The run holds the lease.

    Parameters
    ----------
    run : RunConfig
        Options of the run.
    store : Place
        Location of the store.
    ledger : Ledger
        Ledger of the store.
    records : iterable of ChunkRecord
        Newest record of each chunk.
    """
    from ardcube.store import layouts  # zarr is slow to import

    cube = StoredCube.read(ledger)
    if cube is None:
        raise no_cube_error(store, ledger)
    tiles = planned_chunks(ledger, cube).tiles
    shares = complete_shares([period.label for period in cube.periods], tiles, records)
    store.outlast(lambda: layouts.write_complete(store, cube.grid, cube.config.layout, shares))
    if run.stac != NONE:
        collection = write_stac(store, run.stac, run.storage_options)
        logger.info("STAC Collection %s", collection.get_self_href())
