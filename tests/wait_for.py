"""Waiting for something that another thread, process or server does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(happens: Callable[[], Found], what: str, seconds: float = 180.0) -> Found:
    """Poll until there is something, and return it; `what` is said where there never is."""
    end = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
    return found
