"""Publish a build that is complete, as a version of the cube."""

from __future__ import annotations

import logging
from importlib.metadata import version

from ardcube.prepare.pending import PendingBuild

logger = logging.getLogger(__name__)
VERSION = "version"
"""Attribute of the store with the tag of the version."""


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
    from ardcube.store import schema  # zarr is slow to import

    transaction, uri = pending.transaction, pending.place.uri
    if transaction is None:
        return None
    if not transaction.is_new:
        transaction.discard()
        return None
    records = pending.ledger.records(brief=True)
    built = sum(record.is_built(pending.plan.spec.skip_bad_scenes) for record in records.values())
    if not complete or built < pending.chunks:
        transaction.commit(f"{built} of {pending.chunks} chunks")
        logger.warning("%s: %d of %d chunks are built; nothing is published; run again", uri, built, pending.chunks)
        return None
    if pending.ledger.fence is not None:
        pending.ledger.fence.check()
    tag, periods = transaction.next_tag, pending.plan.periods
    schema.update_attributes(pending.place, {VERSION: tag})
    message = f"{pending.chunks} chunks, {periods[0].label} to {periods[-1].label}"
    transaction.publish(message, {"ardcube": version("ardcube"), "fingerprint": pending.plan.spec.fingerprint})
    logger.info("%s: published as %s", uri, tag)
    return tag
