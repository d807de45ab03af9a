"""Compare the version of this package in two processes."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def installed_version() -> str:
    """Return the version of this package in this process."""
    return version("ardcube")


def other_version(expected: str) -> str | None:
    """Return the problem of a process whose version differs from the flow's, or None."""
    if (here := installed_version()) == expected:
        return None
    return f"it has ardcube {here}, the flow has {expected}; install the same version"
