"""How many heaps the C library keeps, and how much of them."""

from __future__ import annotations

import ctypes
import platform

# Of `mallopt`, in glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_ON_HEAP = 32 * 2**20
"""In bytes: as far as glibc raises the limit by itself, which it no longer does once the other one is set."""
_LEAST_KEPT, _MOST_KEPT = 32_000_000, 128_000_000
"""Bytes of a heap: with more than these, chunks are no faster."""


def share_arenas(count: int) -> bool:
    """Let all threads of this process share `count` heaps; tell whether the C library has that setting.

    glibc gives each thread a heap of its own, up to eight per core. Blocks of some megabytes, fetched by one thread and
    freed by another, leave holes in all of them: with 20 threads a tenth of a worker's memory (docs/decisions/0016).
    """
    return _set(_M_ARENA_MAX, count)


def keep_freed(spare: int) -> bool:
    """Let heaps keep freed bytes at their end: 32 to 128 MB, as far as memory is spare; tell whether that was set.

    By default glibc returns them from 128 KB on, and the kernel clears each page anew when it is touched again: decoded
    blocks come and go hundreds of times in a chunk.
    """
    kept = min(max(spare, _LEAST_KEPT), _MOST_KEPT)
    return _set(_M_MMAP_THRESHOLD, _LARGEST_ON_HEAP) and _set(_M_TRIM_THRESHOLD, kept)


def _set(option: int, value: int) -> bool:
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).mallopt(option, value))
