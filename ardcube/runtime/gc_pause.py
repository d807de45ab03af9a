"""Make Python's garbage collector run less often."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 500_000
"""New objects between two collections, some tens of MB; Python's default is 700 to 2,000."""


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Collect garbage only after half a million new objects, in a `with` block or a decorated function.

    The plan of a continent is millions of objects, and none of them is garbage. The default collections take a third of
    the time of reading its items.
    """
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def start_up() -> Iterator[None]:
    """Collect garbage rarely while a process imports libraries; later collections skip the objects of this block.

    Classes and functions live as long as the process. Default collections take a sixth of the CPU time of their import.
    """
    with rare_garbage_collection():
        yield
        gc.freeze()
