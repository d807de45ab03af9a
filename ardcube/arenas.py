"""How many heaps the C library keeps."""

from __future__ import annotations

import ctypes
import platform

_M_ARENA_MAX = -8
"""Of `mallopt`, in glibc's malloc.h."""


def share_arenas(count: int) -> bool:
    """Let all threads of this process share `count` heaps; tell whether the C library has that setting.

    glibc gives each thread a heap of its own, up to eight per core. Blocks of some megabytes, fetched by one thread and
    freed by another, leave holes in all of them: with 20 threads a tenth of a worker's memory (docs/decisions/0016).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count))
