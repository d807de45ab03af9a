"""Word counts, lists and errors in one line (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ardcube.config import FileAccess, HeaderAccess, HostAccess, S3Access, TokenAccess
from ardcube.redaction import without_secrets

_LONGEST = 300
"""Characters of an error at most."""


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural if the count is not 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_of(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """Join the first texts, and count the others."""
    more = len(texts) - most
    return separator.join([*texts[:most], *([f"and {more:,} more"] if more > 0 else [])])


def names_of(scenes: Mapping[str, int], nameless: str = "none") -> str:
    """Return names, such as those of definitions, with their numbers of scenes if there are several.

    Parameters
    ----------
    scenes : mapping
        Number of scenes by name.
    nameless : str
        Word for an empty name.
    """
    if len(scenes) == 1:
        return next(iter(scenes)) or nameless
    ordered = sorted(scenes.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{name or nameless} ({count_of(count, 'scene')})" for name, count in ordered)


def access_to(hosts: Sequence[HostAccess]) -> str:
    """Return how files are read, by host; nothing if all are public."""
    return "; ".join(f"{_access(entry.access)} ({entry.host})" for entry in hosts if entry.access != "unsigned")


def _access(access: FileAccess) -> str:
    if isinstance(access, TokenAccess):
        return "with a token that is fetched when a file is read"
    if isinstance(access, HeaderAccess):
        return f"with the environment variable {access.variable} of each worker"
    mode = access.mode if isinstance(access, S3Access) else access
    if mode == "requester-pays":
        return "requester pays: requests and transfer are charged to your account"
    return "signed with your credentials of S3" if mode == "signed" else "unsigned"


def short(error: str) -> str:
    """Return an error as one line without secrets and control characters, of bounded length."""
    line = " ".join(without_secrets(error).split())
    text = "".join(letter for letter in line if letter.isprintable())  # a terminal obeys the others
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
