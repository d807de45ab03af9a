"""Memory for stacks of observations, reused from chunk to chunk.

A stack is by far the largest array of a chunk. If it were freed and allocated again, the operating system would clear
each page at its first use, which took up to a tenth of a chunk's CPU (docs/decisions/0016).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

_kept: list[NDArray[np.uint8]] = []
"""Flat arrays that no chunk uses, at most as many as chunks were built at once. Bytes are cleared fastest."""


@contextmanager
def empty_stack(shape: tuple[int, int, int, int]) -> Iterator[NDArray[np.uint16]]:
    """Lend zeros, uint16 of `shape` (band, day, y, x), for one `with` block; no view may be used after the block."""
    size = 2 * math.prod(shape)
    try:
        memory = _kept.pop()  # atomic, so no lock is needed
    except IndexError:
        memory = np.zeros(0, np.uint8)
    if memory.size < size:
        del memory  # frees it before the larger array is allocated
        memory = np.zeros(size, np.uint8)
    else:
        memory[:size] = 0
    try:
        yield memory[:size].view(np.uint16).reshape(shape)
    finally:
        _kept.append(memory)
