"""The chunk that a thread builds, for its log messages (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_chunk: ContextVar[str] = ContextVar("chunk", default="")


@contextmanager
def log_chunk(chunk: str) -> Iterator[None]:
    """Set the name of the chunk that is built in a `with` block."""
    token = _chunk.set(chunk)
    try:
        yield
    finally:
        _chunk.reset(token)


def current_chunk() -> str:
    """Return the name of the chunk, or an empty string."""
    return _chunk.get()
