"""The version of a file: what a server states about it, by which a replaced file is recognized (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class FileVersion:
    """Length, entity tag and time of a file."""

    size: int
    """Bytes of the whole file."""
    e_tag: str = ""
    """Entity tag (ETag) of the server; empty if it states none."""
    modified: str = ""
    """Time of the last change (Last-Modified) in ISO 8601; empty if the server states none."""

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Self:
        """Return the version in the metadata of an answer of obstore."""
        when = meta.get("last_modified")
        # obstore gives 1970 for an answer without the header.
        modified = when.isoformat() if isinstance(when, datetime) and when.timestamp() > 0 else ""
        return cls(int(meta["size"]), str(meta.get("e_tag") or ""), modified)

    @property
    def is_certain(self) -> bool:
        """Whether a replaced file of the same length has another version."""
        return bool(self.e_tag or self.modified)


UNKNOWN_VERSION = FileVersion(0)
"""Version of a file of which nothing is known."""
