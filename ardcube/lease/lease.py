"""A lease that a run holds: checked before work is sent, renewed in the background, released at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

from filelock import FileLock

from ardcube.errors import OutageError, TransientError
from ardcube.lease.claim import Claim
from ardcube.lease.fence import NAME, Fence, LeaseLostError, clock
from ardcube.storage.compare_and_swap import Version, read_version, swap
from ardcube.storage.place import Place

TRIES = 20
"""Attempts to change a lease; each one that fails means that another process has changed it."""
_LOOK_SECONDS = 8.0
"""Seconds between two looks at a lease on the network, so that a store that does not answer is noticed."""
_JOIN_SECONDS = 5.0
"""Seconds to wait for a renewal when the lease is released; a later one changes nothing."""


class Lease:
    """A lease that this process has acquired (`ardcube.lease.acquire.holding`)."""

    def __init__(
        self, ledger: Place, claim: Claim, version: Version, lock: FileLock, warn: Callable[[str], None]
    ) -> None:
        self.claim = claim
        self._ledger = ledger
        self._lock = lock
        self._warn = warn
        self._fence = Fence(ledger, claim.holder)
        self._ended = threading.Event()
        # In a copy of the context, because log lines find their run there.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._keep, version), name="lease", daemon=True
        )
        if not ledger.is_local:  # on a disk every process sees whether the lock is held
            self._thread.start()

    def check(self) -> None:
        """Return while this run may write; the lease is read once in a few seconds.

        Raises
        ------
        LeaseLostError
            If another run holds the lease, none does, or it could not be read for longer than it lasts.
        OutageError
            If the store does not answer for as long as the run waits for it.
        """
        try:
            self._fence.check()
        except OutageError:
            raise
        except TransientError as error:
            if self._fence.age > self.claim.expires_seconds:
                raise LeaseLostError(
                    f"the lease {self._ledger.uri}/{NAME} could not be read for {self.claim.expires_seconds:g} s "
                    f"({error}), so another run may hold it; run again when the store answers"
                ) from error

    def release(self) -> None:
        """Release the lease; if the store does not answer, the lease expires."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)
        try:
            release(self._ledger.waiting(0), self.claim.holder)
        except Exception as error:  # noqa: BLE001  (the result of the run matters more)
            self._warn(f"the lease {self._ledger.uri}/{NAME} could not be released ({error}); it expires")
        drop(self._lock, self._ledger)

    def _keep(self, version: Version) -> None:
        """Renew the lease four times as often as needed, until it ends or another run holds it."""
        every = self.claim.expires_seconds / 4
        renewed_at = clock()
        while not self._ended.wait(min(_LOOK_SECONDS, every) if self._ledger.patience else every):
            try:
                if clock() - renewed_at < every:
                    self._fence.check()
                    continue
                renewed = swap(self._ledger, NAME, version, self.claim.renew().to_json())
                version = renewed or read_version(self._ledger, NAME)  # an earlier PUT may arrive late
                renewed_at = clock()
            except LeaseLostError:
                return  # `check` raises it too
            except Exception as error:  # noqa: BLE001  (the store may answer the next time)
                self._warn(f"the lease {self._ledger.uri}/{NAME} could not be renewed ({error}); it is tried again")
                continue
            claim = Claim.current(version.content)
            if claim is None or claim.holder != self.claim.holder:
                return  # `check` reads who holds it


def release(ledger: Place, owner: str) -> bool:
    """Release a lease from any process, for example because the process of its run has ended.

    Parameters
    ----------
    ledger : Place
        Folder of the lease.
    owner : str
        Id of the claim (`Lease.claim.holder`) or of its flow run.

    Returns
    -------
    bool
        Whether the lease was the owner's; it is free then.
    """
    for _ in range(TRIES):
        version = read_version(ledger, NAME)
        claim = Claim.current(version.content)
        if claim is None or owner not in {claim.holder, claim.run_id} - {""}:
            return False
        if ledger.is_local:
            Path(ledger.file(NAME)).unlink(missing_ok=True)
            return True
        # Object stores cannot be relied on to delete under a condition.
        if swap(ledger, NAME, version, claim.renew(released=True).to_json()):
            return True
    raise TransientError(f"{ledger.uri}/{NAME} changes all the time")


def drop(lock: FileLock, ledger: Place) -> None:
    """Remove a locked file, and the folder of a ledger on a disk if it is empty; then release the lock."""
    with suppress(OSError):  # the folder has other files
        Path(lock.lock_file).unlink(missing_ok=True)
        if ledger.is_local:
            Path(ledger.path).rmdir()
    lock.release()
