"""Thread pools of a worker process for requests in flight and for decoding, shared by all chunks of the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import lru_cache, partial, wraps
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

from ardcube.runtime.cpus import cpu_count

_P = ParamSpec("_P")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_cores = BoundedSemaphore(cpu_count())
_current: ContextVar[ThreadPoolExecutor | None] = ContextVar("pool", default=None)
"""The pool whose thread runs this."""


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


def in_free_threads(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return the results of work that waits for answers, one per item and in their order.

    Free threads of the pool that runs the caller do some of the work, so that requests in flight stay within the limit
    of the pool. The caller does what none of them has begun, so it never waits for a thread that waits itself. Outside
    of a pool the caller does all of it.

    Raises
    ------
    Exception
        The error of the first item that failed; items not begun then are left out.
    """
    pool = _current.get()
    helping = [] if pool is None else [pool.submit(copy_context().run, work, item) for item in items[1:]]
    try:
        results = [work(item) for item in items[: None if pool is None else 1]]
        for item, future in zip(items[1:], helping, strict=False):
            results.append(work(item) if future.cancel() else future.result())
    finally:
        for future in helping:
            future.cancel()
    return results


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
    context = copy_context()
    context.run(_current.set, pool)
    return pool.submit(context.run, partial(work, *args, **kwargs))


@lru_cache(maxsize=8)
def _pool(name: str, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=name)
