"""Keeps a worker from writing for a run that no longer holds its cube: asked before each write."""

from __future__ import annotations

import threading

from ardcube.lease.lease import NAME, LeaseLostError, clock, read_claim
from ardcube.storage.compare_and_swap import read_fresh
from ardcube.storage.failures import explained
from ardcube.storage.place import Place

FRESH_SECONDS = 2.0
"""So long one look at the lease counts: much shorter than a lease lasts, so that nobody can have taken it over from a
process that was paused in between, and long enough to cost nothing."""


class Fence:
    """Stands between a run and its cube, in one process.

    Parameters
    ----------
    ledger : Place
        Folder beside the store, where the lease lies.
    holder : str
        Id of the run's claim (`Lease.claim.holder`).
    """

    def __init__(self, ledger: Place, holder: str) -> None:
        self._ledger = ledger
        self._holder = holder
        self._seen = -FRESH_SECONDS
        self._one_look = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        """Whether the last look still counts: `check` then returns at once."""
        return clock() - self._seen < FRESH_SECONDS

    def check(self) -> None:
        """Return where the lease is still the run's, and as it was a moment ago.

        Raises
        ------
        LeaseLostError
            If it is another's, or nobody's: the cube may no longer be the one that was planned.
        TransientError
            If the store does not answer.
        """
        with self._one_look:
            if self.is_fresh:
                return
            begun = clock()
            with explained(self._ledger.uri):
                content = read_fresh(self._ledger, NAME)
            claim = None if content is None else read_claim(content)
            if claim is None or claim.released or claim.holder != self._holder:
                fate = "it was let go, or is gone"
                if claim is not None and not claim.released:
                    fate = f"it is held by {claim.describe()}"
                raise LeaseLostError(
                    f"the run that wants this has lost the lease {self._ledger.uri}/{NAME}: {fate}; nothing is written "
                    "for it"
                )
            self._seen = begun
