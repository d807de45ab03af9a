"""Refuse to write for a run that no longer holds its cube."""

from __future__ import annotations

import threading
import time

from ardcube.errors import RunStopsError
from ardcube.lease.claim import Claim
from ardcube.storage.failures import explained
from ardcube.storage.place import Place

NAME = "lease.json"
FRESH_SECONDS = 2.0
"""Seconds for which one reading of the lease is valid. A run that takes a lease over waits for as long."""


class LeaseLostError(RunStopsError):
    """The lease was broken, taken over or released: the run must stop writing."""


def clock() -> float:
    """Return seconds of a clock that also counts while the machine sleeps, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Fence:
    """A check of the lease before each write, for all threads of a process.

    Parameters
    ----------
    ledger : Place
        Folder of the lease.
    holder : str
        Id of the run's claim (`Lease.claim.holder`).
    """

    def __init__(self, ledger: Place, holder: str) -> None:
        self._ledger = ledger
        self._holder = holder
        self._read_at = clock() - FRESH_SECONDS  # the run holds the lease, and the first check reads it
        self._one_reader = threading.Lock()

    @property
    def age(self) -> float:
        """Seconds since the lease was last seen to be the run's."""
        return clock() - self._read_at

    @property
    def is_fresh(self) -> bool:
        """Whether `check` returns without reading the lease."""
        return self.age < FRESH_SECONDS

    def check(self) -> None:
        """Return if the run holds the lease.

        Raises
        ------
        LeaseLostError
            If another run holds the lease, or none does: the cube may differ from the one that was planned.
        TransientError
            If the store does not answer; OutageError if it was waited for.
        """
        with self._one_reader:
            if self.is_fresh:
                return
            begun = clock()
            with explained(self._ledger.uri):
                claim = Claim.current(self._ledger.read_now(NAME))
            if claim is None or claim.holder != self._holder:
                owner = "it was released" if claim is None else f"{claim.describe()} holds it"
                raise LeaseLostError(
                    f"this run has lost the lease {self._ledger.uri}/{NAME}: {owner}; nothing more is written for this "
                    "run, start it again when no other run builds the cube"
                )
            self._read_at = begun
