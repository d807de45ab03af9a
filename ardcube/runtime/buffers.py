"""Memory for stacks of observations, kept from chunk to chunk.

A stack is by far the largest array of a chunk. Given back to the system and asked for anew, each of its pages is
cleared by the kernel at its first touch, which took up to a tenth of a chunk's CPU (docs/decisions/0016).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

_kept: list[NDArray[np.uint8]] = []
"""Flat arrays that no chunk uses, never more than there were chunks at once; of bytes, which are cleared fastest."""


@contextmanager
def empty_stack(shape: tuple[int, int, int, int]) -> Iterator[NDArray[np.uint16]]:
    """Lend an array of zeros, uint16 of `shape` (band, day, y, x), until the block ends; no view may outlive it."""
    size = 2 * math.prod(shape)
    try:
        memory = _kept.pop()  # one step, so no lock
    except IndexError:
        memory = np.zeros(0, np.uint8)
    if memory.size < size:
        del memory  # before there are two
        memory = np.zeros(size, np.uint8)
    else:
        memory[:size] = 0
    try:
        yield memory[:size].view(np.uint16).reshape(shape)
    finally:
        _kept.append(memory)
