"""The lease of a cube, as its file says."""

from __future__ import annotations

from ardcube.lease.claim import Claim
from ardcube.lease.fence import NAME
from ardcube.storage.place import Place


def current_claim(ledger: Place) -> Claim | None:
    """Return the claim that holds the lease in a ledger, or None if the lease is free."""
    return Claim.current(ledger.read_now(NAME))
