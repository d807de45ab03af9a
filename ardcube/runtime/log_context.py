"""Which chunk a thread is at work on, so that a line of its log can say so (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_chunk: ContextVar[str] = ContextVar("chunk", default="")


@contextmanager
def at_work_on(chunk: str) -> Iterator[None]:
    """Name the chunk that the block builds."""
    token = _chunk.set(chunk)
    try:
        yield
    finally:
        _chunk.reset(token)


def current_chunk() -> str:
    """Name of the chunk, or empty."""
    return _chunk.get()
