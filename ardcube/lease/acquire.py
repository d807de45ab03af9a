"""One run at a time per cube: a lease beside the store, taken before a run writes, and let go when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from ardcube.errors import InputError, UnwritableError
from ardcube.lease.claim import Claim
from ardcube.lease.fence import FRESH_SECONDS
from ardcube.lease.lease import NAME, TRIES, Lease, Tell, Timing, clock, let_go, read_claim
from ardcube.storage.compare_and_swap import exchange, read_fresh
from ardcube.storage.failures import explained
from ardcube.storage.place import Place

DEFAULT_TIMING = Timing()

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
    timing: Timing = DEFAULT_TIMING,
    tell: Tell = logger.warning,
) -> Iterator[Lease]:
    """Hold the lease of a cube while the block runs; however that ends, the lease is released.

    Parameters
    ----------
    ledger : Place
        Folder beside the store, where the lease lies.
    run, run_id : str
        Name and id of the flow run, for whoever finds the lease held.
    break_lease : bool
        Take it from whoever holds it.
    timing : Timing
        How long it lasts.
    tell : callable
        Told, in a line, of anything out of the ordinary; also from another thread.

    Raises
    ------
    LeaseHeldError
        If another run holds it; nothing was written.
    """
    claim = Claim.of_this_process(run, run_id, timing.expires_seconds)
    lease = _acquire(ledger, claim, break_lease=break_lease, timing=timing, tell=tell)
    try:
        lease.keep()
        yield lease
    finally:
        lease.release()


def standing_claim(ledger: Place) -> Claim | None:
    """The claim to a cube that was not let go, or None; whether it still counts is not asked.

    Raises
    ------
    StoreError
        If the lease's file was damaged.
    """
    content = read_fresh(ledger, NAME)
    claim = None if content is None else Claim.from_json(content)
    return None if claim is None or claim.released else claim


def release(ledger: Place, owner: str) -> bool:
    """Release a lease if it is its owner's, from any process: for a run whose own process is known to be gone.

    Parameters
    ----------
    ledger : Place
        Folder beside the store.
    owner : str
        Id of the claim (`Lease.claim.holder`), or of its flow run.

    Returns
    -------
    bool
        Whether it was the owner's, and is free now.
    """
    return let_go(ledger, owner)


def _acquire(ledger: Place, claim: Claim, *, break_lease: bool, timing: Timing, tell: Tell) -> Lease:
    seen_alive = ""
    for _ in range(TRIES):
        content = read_fresh(ledger, NAME)
        standing = _standing(ledger, content, claim, break_lease)
        if standing is not None and not break_lease:
            verdict = standing.judge(datetime.now(UTC), standing.presence())
            if verdict == "held" or (verdict == "unsure" and standing.holder == seen_alive):
                raise _held(ledger, standing)
            if verdict == "unsure":
                seconds = standing.expires_seconds
                tell(f"watching the lease of {standing.describe()} for {seconds:g} s: it seems to have expired")
                if _changes(ledger, content, seconds):
                    seen_alive = standing.holder
                    continue
        lease = Lease(ledger, claim.renew(), timing, tell)
        try:
            with explained(ledger.uri):
                taken = exchange(ledger, NAME, content, lease.claim.to_json())
        except UnwritableError as error:
            raise InputError(str(error)) from error  # nothing was written
        if taken:
            if standing is not None:
                # Workers of the run before may have looked at the lease a moment ago; what comes next could remove
                # what they are about to write.
                time.sleep(FRESH_SECONDS)
                tell(f"{'broke' if break_lease else 'took over'} the lease of {standing.describe()}")
            return lease
    raise LeaseHeldError(f"{ledger.uri} is wanted by many runs at once; start this one again")


def _standing(ledger: Place, content: bytes | None, own: Claim, break_lease: bool) -> Claim | None:
    """Another's claim that was not let go, or None."""
    claim = None if content is None else read_claim(content)
    if content is not None and claim is None and not break_lease:
        raise InputError(
            f"the lease {ledger.uri}/{NAME} is damaged; add --break-lease if no other run is building this cube"
        )
    return None if claim is None or claim.released or claim.holder == own.holder else claim


def _changes(ledger: Place, content: bytes | None, seconds: float) -> bool:
    """Watch a lease for so long, by this process' own clock; whether it was renewed or let go meanwhile."""
    end = clock() + seconds
    while clock() < end:
        time.sleep(min(2.0, seconds / 20))
        if read_fresh(ledger, NAME) != content:
            return True
    return False


def _held(ledger: Place, claim: Claim) -> LeaseHeldError:
    return LeaseHeldError(
        f"another run writes this cube: {claim.describe()} holds {ledger.uri}/{NAME}; wait until it ends, or add "
        "--break-lease if that run is known to be dead"
    )
