"""Threads of a worker process: for requests in flight, and for decoding. All chunks in the process share them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, wraps
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

from ardcube.runtime.malloc import keep_freed, share_arenas

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_CORES_PER_ARENA = 4
"""Few enough that threads do not wait for each other's heap."""

# Now, since a thread keeps the heap that it once has.
share_arenas(max(1, core_count() // _CORES_PER_ARENA))
keep_freed(0)
_cores = BoundedSemaphore(core_count())


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads a process may use beside those that build chunks."""

    requests: int = 16
    """Requests in flight."""
    decoders: int = 0
    """Threads that decode; 0 is one per core."""

    def fetch(self, work: Callable[_Given, _Answer], *args: _Given.args, **kwargs: _Given.kwargs) -> Future[_Answer]:
        """Wait for an answer beside the caller."""
        return _pool("ardcube-request", self.requests).submit(work, *args, **kwargs)

    def fetch_and_decode(
        self, work: Callable[_Given, _Answer], *args: _Given.args, **kwargs: _Given.kwargs
    ) -> Future[_Answer]:
        """Wait for an answer and compute beside the caller: two threads for each that decodes, as one of them waits."""
        threads = min(self.requests, 2 * (self.decoders or core_count()))
        return _pool("ardcube-read", threads).submit(work, *args, **kwargs)

    def decode(self, work: Callable[_Given, _Answer], *args: _Given.args, **kwargs: _Given.kwargs) -> Future[_Answer]:
        """Compute beside the caller."""
        return _pool("ardcube-decode", self.decoders or core_count()).submit(on_a_core(work), *args, **kwargs)


DEFAULT_THREADS = Threads()


def on_a_core(work: Callable[_Given, _Answer]) -> Callable[_Given, _Answer]:
    """Let work that computes wait until a core is free.

    Chunks and decoders are more threads than there are cores; without this they would take each other's caches.
    """

    @wraps(work)
    def waiting(*args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        with _cores:
            return work(*args, **kwargs)

    return waiting


@lru_cache(maxsize=8)
def _pool(name: str, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=name)
