"""Acquire the lease of a cube before a run writes, so that one run at a time does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from ardcube.errors import InputError, UnwritableError
from ardcube.lease.claim import Claim
from ardcube.lease.fence import FRESH_SECONDS, NAME, clock
from ardcube.lease.holder import is_alive
from ardcube.lease.lease import TRIES, Lease, drop
from ardcube.storage.compare_and_swap import Version, best_effort_reason, read_version, swap
from ardcube.storage.failures import explained
from ardcube.storage.place import Place

_POLL_SECONDS = 2.0
"""Seconds between two looks at a lease that may be renewed."""
Warn = Callable[[str], None]
logger = logging.getLogger(__name__)


class LeaseHeldError(InputError):
    """Another run writes the cube."""


@contextmanager
def holding(
    ledger: Place,
    *,
    run: str = "",
    run_id: str = "",
    break_lease: bool = False,
    expires_seconds: float = 120.0,
    warn: Warn = logger.warning,
) -> Iterator[Lease]:
    """Hold the lease of a cube during a block, and release it at the end of the block.

    Parameters
    ----------
    ledger : Place
        Folder of the lease, next to the store.
    run, run_id : str
        Name and id of the flow run.
    break_lease : bool
        Take the lease from the run that holds it.
    expires_seconds : float
        Seconds without renewal after which another machine may take the lease over, on other stores than a disk.
    warn : callable
        Function that takes a line for the operator; also called from another thread.

    Raises
    ------
    LeaseHeldError
        If another run holds it; nothing was written.
    """
    claim = Claim(run=run, run_id=run_id, expires_seconds=expires_seconds)
    lock = FileLock(claim.process_lock(ledger), mode=0o666, thread_local=False)  # other users may ask for it
    try:
        with explained(ledger.uri):
            _lock(lock)
            version, before = _acquire(ledger, claim, break_lease, warn)
    except BaseException as error:
        if lock.is_locked:
            drop(lock, ledger)
        if isinstance(error, UnwritableError):
            raise InputError(str(error)) from error  # nothing was written
        raise
    lease = Lease(ledger, claim, version, lock, warn)
    try:
        if before is not None:
            before.process_lock(ledger).unlink(missing_ok=True)
            # Workers of that run may have read the lease a moment ago, and write until they read it again.
            time.sleep(FRESH_SECONDS)
            warn(f"{'broke' if break_lease else 'took over'} the lease of {before.describe()}")
        lease.check()
        yield lease
    finally:
        lease.release()


def _lock(lock: FileLock) -> None:
    """Lock a new file for the life of this process."""
    while not lock.is_locked:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has removed the folder
            lock.acquire()


def _acquire(ledger: Place, claim: Claim, break_lease: bool, warn: Warn) -> tuple[Version, Claim | None]:
    """Write a claim into the lease unless another run holds it; return the version, and the claim before."""
    for _ in range(TRIES):
        version = read_version(ledger, NAME)
        other = Claim.current(version.content)
        if not break_lease:
            if version.content is not None and Claim.parse(version.content) is None:
                raise InputError(
                    f"the lease {ledger.uri}/{NAME} is damaged; add --break-lease if no other run builds this cube"
                )
            if other is not None and _is_alive(ledger, other, version, warn):
                raise LeaseHeldError(
                    f"another run writes this cube: {other.describe()} holds {ledger.uri}/{NAME}; wait until it ends, "
                    "or add --break-lease if that run is known to be dead or paused"
                )
        taken = swap(ledger, NAME, version, claim.renew().to_json())
        if taken is not None:
            if reason := best_effort_reason(ledger):
                warn(f"{ledger.uri}: {reason}; do not start two runs at the same time, they may not notice each other")
            return taken, other
    raise LeaseHeldError(f"{ledger.uri}: many runs start at once; start this one again")


def _is_alive(ledger: Place, other: Claim, version: Version, warn: Warn) -> bool:
    """Return whether the run that holds a lease is alive; if only a renewal can show that, wait for it."""
    alive = is_alive(ledger, other)
    if alive is not None:
        return alive
    seconds = other.expires_seconds
    warn(f"waiting {seconds:g} s for a renewal of the lease of {other.describe()}: it seems to have expired")
    end = clock() + seconds
    while clock() < end:
        time.sleep(min(_POLL_SECONDS, seconds / 20))
        content = read_version(ledger, NAME).content
        if content != version.content:
            now = Claim.current(content)
            return now is not None and now.holder == other.holder
    return False
