"""Find the run that holds a cube, without waiting and without writing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from filelock import FileLock

from ardcube.lease.claim import Claim
from ardcube.lease.fence import NAME
from ardcube.storage.place import Place

_PROBE_SECONDS = 0.2
"""Seconds to wait for a lock that another process may hold only to find out whether it is free."""
_SKEW_SECONDS = 300.0
"""Largest difference expected between the clocks of two machines."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The run whose claim is in the lease of a cube."""

    claim: Claim
    is_alive: bool | None
    """Whether the run writes the cube; None if only a renewal of the lease can show it."""

    @classmethod
    def read(cls, ledger: Place) -> Self | None:
        """Read the lease in a ledger; None if no run holds it."""
        claim = Claim.current(ledger.read(NAME))
        return None if claim is None else cls(claim, is_alive(ledger, claim))

    def __str__(self) -> str:
        text = self.claim.describe()
        if self.is_alive is None:
            return f"{text}; it has not renewed its lease for {self.claim.expires_seconds:g} s, and may be dead"
        return text if self.is_alive else f"{text}; its process has ended, and the next run takes the cube over"


def is_alive(ledger: Place, claim: Claim) -> bool | None:
    """Return whether the run of a claim is alive; None if only a renewal of the lease can show it."""
    if (path := claim.process_lock(ledger)).exists():
        try:
            with FileLock(path, timeout=_PROBE_SECONDS):
                return False
        except OSError:  # the lock is held, or belongs to another user
            return True
    if ledger.is_local:
        return False
    age = (datetime.now(UTC) - claim.renewed).total_seconds()
    if 0 <= age <= claim.expires_seconds or age > claim.expires_seconds + _SKEW_SECONDS:
        return age <= claim.expires_seconds
    return None
