"""Count the chunks that this process builds at the moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ardcube.runtime.cpus import cpu_count

_chunks: list[None] = []
"""One entry for each chunk, because lists are changed atomically."""


@contextmanager
def building() -> Iterator[None]:
    """Count a chunk, in a `with` block or a decorated function."""
    _chunks.append(None)
    try:
        yield
    finally:
        _chunks.pop()


def keeps_cores_busy() -> bool:
    """Return whether a chunk is built for each core, so that none has to do several things at once."""
    return len(_chunks) >= cpu_count()
