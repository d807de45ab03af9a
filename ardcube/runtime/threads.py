"""Thread pools of a worker process for requests in flight and for decoding, shared by all chunks of the process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache, partial, wraps
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

from ardcube.runtime.cpus import cpu_count

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


_cores = BoundedSemaphore(cpu_count())


@dataclass(frozen=True, slots=True)
class Threads:
    """Numbers of threads in a process, in addition to those that build chunks."""

    requests: int = 16
    """Largest number of requests in flight."""
    decoders: int = 0
    """Threads that decode; 0 means one per core."""

    def fetch(self, work: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Future[_Result]:
        """Run work that waits for an answer in a thread of the request pool."""
        return _submit(_pool("ardcube-request", self.requests), work, *args, **kwargs)

    def fetch_and_decode(self, work: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Future[_Result]:
        """Run work that waits and decodes in a pool of two threads per decoder, because one of the two waits."""
        threads = min(self.requests, 2 * (self.decoders or cpu_count()))
        return _submit(_pool("ardcube-read", threads), work, *args, **kwargs)

    def decode(self, work: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs) -> Future[_Result]:
        """Run work that computes in a thread of the decoder pool."""
        return _submit(_pool("ardcube-decode", self.decoders or cpu_count()), on_a_core(work), *args, **kwargs)


DEFAULT_THREADS = Threads()


def on_a_core(work: Callable[_P, _Result]) -> Callable[_P, _Result]:
    """Make a function wait until a core is free.

    There are more threads that build and decode than cores. Without this limit they would evict each other's caches.
    """

    @wraps(work)
    def waiting(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
        with _cores:
            return work(*args, **kwargs)

    return waiting


@lru_cache(maxsize=8)
def turns(at_once: int) -> BoundedSemaphore:
    """Return the semaphore of this process for work of which only some may be done at once."""
    return BoundedSemaphore(at_once)


def _submit(
    pool: ThreadPoolExecutor, work: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs
) -> Future[_Result]:
    """Run work in the context of the caller: for its chunk, whose requests are counted."""
    return pool.submit(copy_context().run, partial(work, *args, **kwargs))


@lru_cache(maxsize=8)
def _pool(name: str, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=name)
