"""A lease in somebody's hands: renewed in the background, known as lost when it is, let go at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ardcube.errors import RunStopsError, StoreError, TransientError
from ardcube.lease.claim import Claim
from ardcube.storage.compare_and_swap import exchange, read_fresh, retire
from ardcube.storage.place import Place

NAME = "lease.json"
TRIES = 20
"""Rounds of looking and taking: each that fails means that somebody else succeeded."""
_JOIN_SECONDS = 5.0
"""Wait at the end for a renewal that is under way; a late one finds the lease let go, and changes nothing."""

Tell = Callable[[str], None]
"""Told, in a line, of anything out of the ordinary; also from another thread."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a lease lasts."""

    expires_seconds: float = 120.0
    """Unrenewed for so long, it may be taken over: long enough for a store that is slow or away for a minute."""
    renew_seconds: float = 30.0
    """Between renewals: three may fail in a row."""


def clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseLostError(RunStopsError):
    """The lease was broken, taken over, or could not be renewed in time: this run must stop writing."""


class Lease:
    """A lease that this process holds; made by `ardcube.lease.acquire.holding`."""

    def __init__(self, ledger: Place, claim: Claim, timing: Timing, tell: Tell) -> None:
        self.lost = threading.Event()
        """Set once the lease is another's, or was let go from elsewhere."""
        self.claim = claim
        """As it was taken."""
        self._ledger = ledger
        self._content = claim.to_json()
        self._timing = timing
        self._tell = tell
        self._fate = ""
        self._renewed = clock()
        self._one_renewal = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def check(self) -> None:
        """Return while this run may go on writing; call it before each further piece of work, it costs nothing.

        A lease whose renewals have failed for as long as it lasts is renewed here and now: until that succeeds,
        another run may have taken it.

        Raises
        ------
        LeaseLostError
            If the lease is no longer this run's, or nobody can tell.
        """
        if not self.lost.is_set() and clock() - self._renewed > self._timing.expires_seconds:
            try:
                self.renew()
            except Exception as error:
                raise LeaseLostError(
                    f"the lease {self._file} could not be renewed for {self._timing.expires_seconds:g} s ({error}), "
                    "so another run may hold it by now; run again when the store answers"
                ) from error
        if self.lost.is_set():
            raise LeaseLostError(
                f"this run has lost the lease {self._file}: {self._fate}; it stops here, and what is missing is "
                "built by a further run when no other is at work"
            )

    def renew(self) -> None:
        """Write the time of now into the lease, or find that it is no longer this run's and set `lost`.

        Raises
        ------
        Exception
            Whatever the filesystem raises; the next renewal may succeed.
        """
        if not self._one_renewal.acquire(timeout=self._timing.renew_seconds):
            raise TransientError("an earlier renewal hangs")
        try:
            for _ in range(TRIES):
                if self.lost.is_set() or self._renew_once():
                    return
        finally:
            self._one_renewal.release()
        raise TransientError("it changes all the time")

    def keep(self) -> None:
        """Begin to renew, in the background."""
        self._thread.start()

    def release(self) -> None:
        """Let go. What cannot be let go now expires by itself."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)
        try:
            let_go(self._ledger, self.claim.holder)
        except Exception as error:  # noqa: BLE001  (how the run ended matters more, and a lease expires)
            self._tell(f"the lease {self._file} could not be released ({error}); it expires by itself")

    @property
    def _file(self) -> str:
        return f"{self._ledger.uri}/{NAME}"

    def _renew_once(self) -> bool:
        """Try to put a renewed claim in place of the one before; whether that is settled, one way or the other."""
        begun, content = clock(), self.claim.renew().to_json()
        if exchange(self._ledger, NAME, self._content, content):
            self._content, self._renewed = content, begun
            return True
        found = read_fresh(self._ledger, NAME)
        standing = None if found is None else read_claim(found)
        if (
            found is not None
            and standing is not None
            and standing.holder == self.claim.holder
            and not standing.released
        ):
            self._content = found  # a write of ours that arrived after we had given it up
            return False
        # Also where it is gone or let go: another may have held it in between, and changed the cube.
        self._fate = (
            f"it is held by {standing.describe()}" if standing and not standing.released else "it was let go elsewhere"
        )
        self.lost.set()
        return True

    def _keep(self) -> None:
        while not self._ended.wait(self._timing.renew_seconds) and not self.lost.is_set():
            try:
                self.renew()
            except Exception as error:  # noqa: BLE001  (the store is away for a while; `check` says when for too long)
                self._tell(f"the lease {self._file} could not be renewed ({error}); trying again")


def let_go(ledger: Place, owner: str) -> bool:
    """Release the lease in a ledger if the id of its claim, or of its flow run, is the owner's; say whether."""
    for _ in range(TRIES):
        content = read_fresh(ledger, NAME)
        claim = None if content is None else read_claim(content)
        if content is None or claim is None or claim.released or owner not in {claim.holder, claim.run_id} - {""}:
            return False
        if retire(ledger, NAME, content, claim.release().to_json()):
            return True
    raise TransientError("it changes all the time")


def read_claim(content: bytes) -> Claim | None:
    """A claim, or None for a file that somebody has damaged."""
    try:
        return Claim.from_json(content)
    except StoreError:
        return None
