"""The content of `lease.json`: which run holds a cube."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from ardcube.storage.place import Place


def _now() -> datetime:
    return datetime.now(UTC)


def _user_and_host() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The claim of one run to be the only one that writes a cube."""

    run: str
    """Name of the flow run, or empty."""
    run_id: str
    """Id of the flow run, or empty."""
    expires_seconds: Annotated[float, Field(gt=0, le=3600)]
    """Seconds without renewal after which another machine may take the lease over."""
    holder: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")] = field(default_factory=lambda: uuid.uuid4().hex)
    """Id of the claim; another one for each run and each attempt."""
    who: str = field(default_factory=_user_and_host)
    """`user@host`."""
    pid: Annotated[int, Field(gt=0, lt=2**31)] = field(default_factory=os.getpid)
    started: AwareDatetime = field(default_factory=_now)
    renewed: AwareDatetime = field(default_factory=_now)
    released: bool = False
    """Whether the lease is free, although the file exists."""

    def renew(self, *, released: bool = False) -> Self:
        """Return the claim with the present time."""
        return replace(self, renewed=_now(), released=released)

    def describe(self) -> str:
        """Return the holder in one line."""
        run = f", flow run {self.run}" if self.run else ""
        renewed = f", last renewed {self.renewed:{_TIME}}" if self.renewed - self.started > _SECOND else ""
        text = f"{self.who} (process {self.pid}{run}) since {self.started:{_TIME}}{renewed}"
        return "".join(letter for letter in text if letter.isprintable())  # a terminal obeys the others

    def process_lock(self, ledger: Place) -> Path:
        """Return the file that the holder's process keeps locked: in the ledger on a disk, else in its machine."""
        return Path(ledger.path if ledger.is_local else tempfile.gettempdir(), f"ardcube-{self.holder}.lock.part")

    def to_json(self) -> bytes:
        """Return the content of the lease file."""
        return _CLAIM.dump_json(self, indent=1)

    @classmethod
    def parse(cls, content: bytes | None) -> Claim | None:
        """Read a lease file; return None if it is missing or damaged."""
        try:
            return _CLAIM.validate_json(content or b"", strict=True)
        except ValidationError:
            return None

    @classmethod
    def current(cls, content: bytes | None) -> Claim | None:
        """Read a lease file; return None if it is missing, damaged or released."""
        claim = cls.parse(content)
        return None if claim is None or claim.released else claim


_CLAIM = TypeAdapter(Claim)
_SECOND = timedelta(seconds=1)
_TIME = "%Y-%m-%d %H:%M:%S %Z"
