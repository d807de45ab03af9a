"""Count the CPU seconds, requests and bytes of each chunk while a process builds several.

Requests are counted where they are made, in any thread of `ardcube.runtime.threads`. CPU seconds are those of the
whole process, which also decodes, compresses and encrypts in threads of libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class Usage:
    """CPU seconds, requests and objects of one chunk so far."""

    cpu_seconds: float = 0.0
    requests: int = 0
    """Reads of a range of a file, on a server or a disk. Repetitions by the HTTP library are not counted."""
    received: int = 0
    """Bytes of these ranges: headers, blocks, and gaps between blocks of one request."""
    uncounted: int = 0
    """Reads of unknown requests and bytes: those of GDAL, and of the cube's own pixels."""
    objects: int = 0
    """Objects written to the store."""
    stored: int = 0
    """Bytes of these objects, which are compressed."""
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def numbers(self) -> dict[str, float]:
        """Return CPU seconds, objects and, if they are known, requests: by name, as in the record of a chunk."""
        known: dict[str, float] = {} if self.uncounted else {"requests": self.requests}
        return {"cpu_seconds": round(self.cpu_seconds, 4), **known, "objects": self.objects}

    def byte_counts(self) -> dict[str, int]:
        """Return bytes stored and, if they are known, bytes received: by name, as in the record of a chunk."""
        known = {} if self.uncounted else {"received": self.received}
        return {**known, "stored": self.stored}


_usage: ContextVar[Usage | None] = ContextVar("usage", default=None)


def count_requests(requests: int, received: int) -> None:
    """Add requests and their bytes to the chunk for which this thread works."""
    if (usage := _usage.get()) is not None:
        with usage._lock:
            usage.requests += requests
            usage.received += received


def count_unknown() -> None:
    """Add a read whose requests and bytes are not known."""
    if (usage := _usage.get()) is not None:
        with usage._lock:
            usage.uncounted += 1


def count_object(size: int) -> None:
    """Add an object of `size` bytes that was written."""
    if (usage := _usage.get()) is not None:
        with usage._lock:
            usage.objects += 1
            usage.stored += size


class CpuShares:
    """Divides the CPU seconds of a process equally among the chunks that it builds at the same time.

    The shares add up to the CPU seconds of the process while it builds.

    Parameters
    ----------
    clock : callable
        Return the CPU seconds of the process.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._active: list[Usage] = []
        self._divided = 0.0
        self._lock = Lock()

    @contextmanager
    def measured(self, usage: Usage) -> Iterator[None]:
        """Add the share of a `with` block."""
        with self._lock:
            self._divide()
            self._active.append(usage)
        try:
            yield
        finally:
            with self._lock:
                self._divide()
                self._active = [one for one in self._active if one is not usage]

    def _divide(self) -> None:
        now = self._clock()
        for usage in self._active:
            usage.cpu_seconds += (now - self._divided) / len(self._active)
        self._divided = now


_shares = CpuShares()


@contextmanager
def counting() -> Iterator[Usage]:
    """Count what building a chunk in a `with` block uses."""
    usage = Usage()
    token = _usage.set(usage)
    try:
        with _shares.measured(usage):
            yield usage
    finally:
        _usage.reset(token)
