"""Write the share of finished tiles at the end of a run, and STAC documents after its version is published."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ardcube.config import RunConfig
from ardcube.config.store import StorageBackend
from ardcube.ledger.complete import complete_shares
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube, no_cube_error
from ardcube.stac_output.folder import NONE
from ardcube.stac_output.write import write_stac
from ardcube.storage.place import Place

logger = logging.getLogger(__name__)


def finalize(store: Place, ledger: Ledger, records: Iterable[ChunkRecord]) -> None:
    """Write `complete` from the records of all chunks, also of a run with failed chunks. The run holds the lease.

    Parameters
    ----------
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


def write_documents(run: RunConfig, store: Place, backend: StorageBackend) -> None:
    """Write the STAC documents that a run requests, also of a run with failed chunks. The run holds the lease.

    Documents of icechunk describe a version, so a build that is not published does not change them.

    Parameters
    ----------
    run : RunConfig
        Options of the run.
    store : Place
        Location of the store.
    backend : str
        Storage backend of the cube.
    """
    if run.stac == NONE:
        return
    from ardcube.store.versions import has_unpublished, plain  # zarr is slow to import

    place = plain(store)
    if has_unpublished(place, backend):
        logger.warning("%s: nothing is published, so no STAC document is written; run again", place.uri)
        return
    collection = write_stac(place, run.stac, run.storage_options)
    logger.info("STAC Collection %s", collection.get_self_href())
