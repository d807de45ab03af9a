"""Publish a build that is complete, as a version of the cube."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import version

from ardcube.extent.periods import Period
from ardcube.ledger.ledger import Ledger
from ardcube.prepare.pending import PendingBuild
from ardcube.storage.place import Place
from ardcube.store.provenance import VERSION

logger = logging.getLogger(__name__)


def publish(pending: PendingBuild, *, complete: bool) -> str | None:
    """Let readers see a build if it is complete; otherwise a later run continues it.

    Parameters
    ----------
    pending : PendingBuild
        The build, whose records are merged.
    complete : bool
        Whether this run built all of its chunks.

    Returns
    -------
    str or None
        Tag of the version; None for a plain store, an incomplete build, or one without changes.

    Raises
    ------
    StoreError
        If another program has changed the published version meanwhile.
    """
    if pending.transaction is None:
        return None
    plan, records = pending.plan, pending.ledger.records(brief=True)
    built = sum(record.is_built(plan.spec.skip_bad_scenes) for record in records.values())
    counts = built if complete else min(built, pending.chunks - 1), pending.chunks
    return publish_chunks(pending.place, pending.ledger, counts, plan.periods, plan.spec.fingerprint)


def publish_chunks(
    place: Place, ledger: Ledger, counts: tuple[int, int], periods: Sequence[Period], fingerprint: str
) -> str | None:
    """Let readers see the chunks of a cube if all are built, as `publish` does.

    Parameters
    ----------
    place : Place
        Store of the cube, open for writing.
    ledger : Ledger
        Ledger of the cube.
    counts : tuple of int
        Chunks that are built, and all chunks.
    periods : sequence of Period
        Time axis.
    fingerprint : str
        Hash of the identity of the cube.
    """
    from ardcube.store import schema  # zarr is slow to import
    from ardcube.store.transaction import transaction_of

    if (transaction := transaction_of(place)) is None:
        return None
    if not transaction.is_new:
        transaction.discard()
        return None
    built, chunks = counts
    if built < chunks:
        transaction.commit(f"{built} of {chunks} chunks")
        logger.warning("%s: %d of %d chunks are built; nothing is published; run again", place.uri, built, chunks)
        return None
    if ledger.fence is not None:
        ledger.fence.check()
    tag = transaction.next_tag
    schema.update_attributes(place, {VERSION: tag})
    message = f"{chunks} chunks, {periods[0].label} to {periods[-1].label}"
    transaction.publish(message, {"ardcube": version("ardcube"), "fingerprint": fingerprint})
    logger.info("%s: published as %s", place.uri, tag)
    return tag
