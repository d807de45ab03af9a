"""Who holds a cube, as its lease file says, and whether that still counts."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from ardcube.errors import StoreError

SKEW_SECONDS = 300.0
"""Clocks of two machines are taken to differ by at most this: without a time server they drift by seconds a day."""

_LONGEST_SECONDS = 3600.0
"""A file that says more was not written by us."""

Presence = Literal["alive", "gone", "unknown"]
Verdict = Literal["free", "held", "unsure"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One run's claim to be the only one that writes a cube."""

    holder: str
    """Id of this claim; another one for each run and each attempt."""
    who: str
    """user@host."""
    pid: int
    machine: str
    """Boot and process namespace of the holder's process, empty where the system does not tell."""
    born: str
    """When the process started, in ticks of its machine: a process id is used again, this pair is not."""
    run: str
    """Name of the flow run, or empty."""
    run_id: str
    """Id of the flow run, or empty."""
    started: str
    """UTC, ISO 8601."""
    renewed: str
    expires_seconds: float
    """Without a renewal for so long, it counts no more."""
    released: bool = False
    """Whether the holder has let go."""

    @classmethod
    def of_this_process(cls, run: str, run_id: str, expires_seconds: float) -> Self:
        """A claim that begins now."""
        now, pid = _now(), os.getpid()
        return cls(
            holder=uuid.uuid4().hex,
            who=f"{_user()}@{socket.gethostname()}",
            pid=pid,
            machine=_machine(),
            born=_born(pid) or "",
            run=run,
            run_id=run_id,
            started=now,
            renewed=now,
            expires_seconds=expires_seconds,
        )

    def renew(self) -> Self:
        """The same claim with the time of now."""
        return replace(self, renewed=_now())

    def release(self) -> Self:
        """The same claim, let go."""
        return replace(self, renewed=_now(), released=True)

    def describe(self) -> str:
        """For a person, in one line."""
        run = f", flow run {self.run}" if self.run else ""
        text = f"{self.who} (process {self.pid}{run}) since {_short(self.started)}, last renewed {_short(self.renewed)}"
        return "".join(letter for letter in text if letter.isprintable())  # a terminal obeys what is not

    def presence(self) -> Presence:
        """Whether the holder's process is there; `unknown` for one on another machine or in another container."""
        if not self.machine or self.machine != _machine():
            return "unknown"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "gone"
        except PermissionError:
            pass  # it is another user's, and there
        born = _born(self.pid)
        if born is None:
            return "unknown"
        return "alive" if born == self.born else "gone"

    def judge(self, now: datetime, presence: Presence) -> Verdict:
        """Whether it still counts.

        Parameters
        ----------
        now : datetime
            By the clock of this machine, which is not the holder's.
        presence : str
            Of its process.

        Returns
        -------
        str
            `free`: let go, its process gone, or not renewed for so long that no clock is so wrong. `held`: renewed
            lately. `unsure`: only watching whether it is renewed can tell.
        """
        if self.released or presence == "gone":
            return "free"
        age = (now - datetime.fromisoformat(self.renewed)).total_seconds()
        if -SKEW_SECONDS <= age <= self.expires_seconds:
            return "held"
        # A process that is there may only just have woken from a sleep of its machine.
        return "free" if age > self.expires_seconds + SKEW_SECONDS and presence == "unknown" else "unsure"

    def to_json(self) -> bytes:
        """As written to the lease's file."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read a claim.

        Raises
        ------
        StoreError
            If it is not one.
        """
        try:
            claim = cls(**json.loads(content))
            kinds = {"pid": int, "expires_seconds": float, "released": bool}
            for field in fields(cls):
                value = getattr(claim, field.name)
                if type(value) is not kinds.get(field.name, str):
                    raise ValueError(f"{field.name} is {value!r}")
            if not 0 < claim.pid < 2**31:  # 0 and below would name groups of processes
                raise ValueError(f"pid is {claim.pid}")
            if not 0 < claim.expires_seconds <= _LONGEST_SECONDS:
                raise ValueError(f"expires_seconds is {claim.expires_seconds}")
            for time in (claim.started, claim.renewed):
                moment = datetime.fromisoformat(time)
                if moment.tzinfo is None:
                    raise ValueError(f"{time!r} has no time zone")
                moment.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise StoreError(f"not a lease ({error}): {content[:80]!r}") from error
        return claim


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _short(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _machine() -> str:
    """Which processes this one can see: those of one boot, in one namespace; empty where the system is no Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str | None:
    """When a process started; None where it cannot be seen. One that is dead and not yet buried was never born."""
    try:
        # proc(5): the second field is the command in brackets, and may hold anything; the third is the state, the
        # twenty-second the start.
        states = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if states[0] in "ZX" else states[19]
