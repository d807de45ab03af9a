"""Settings of the memory allocators of glibc and Arrow for processes that build chunks (docs/decisions/0016).

The allocators read environment variables when a process starts. The image and Coiled workers set them. The command line
builds in threads of the same process and calls `configure_process`. Importing this module changes nothing.
"""

from __future__ import annotations

import ctypes
import os
import platform

from ardcube.runtime.cpus import cpu_count

_CORES_PER_ARENA = 4
"""Cores that share an arena. By default glibc creates up to eight arenas per core. Blocks of megabytes that one thread
fetches and another frees leave holes in all of them."""
_MMAP_THRESHOLD = 32 * 2**20
"""Largest block in an arena, in bytes: glibc's own upper limit, which is fixed once the other threshold is set."""
_TRIM_THRESHOLD = 128_000_000
"""Free bytes at the end of an arena that are kept. By default glibc returns them from 128 KB on, and the operating
system clears each page again at its next use."""
_OPTIONS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_ARENA_MAX": -8}
"""Numbers of the settings in glibc's malloc.h."""


def allocator_environment(cores: int) -> dict[str, str]:
    """Return the environment variables for a process that builds on a number of cores."""
    return {
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # Arrow's own heap keeps 25 to 30 MB after the first manifest
        "MALLOC_ARENA_MAX": str(max(1, cores // _CORES_PER_ARENA)),
        "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD),
        "MALLOC_TRIM_THRESHOLD_": str(_TRIM_THRESHOLD),
    }


def configure_process() -> None:
    """Apply the settings to this process and to processes that it starts; variables that are set have precedence.

    Call it before other threads exist, because a thread keeps its arena. Other C libraries ignore the settings.
    """
    for name, value in allocator_environment(cpu_count()).items():
        applied = os.environ.setdefault(name, value) == value
        if applied and name in _OPTIONS and platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).mallopt(_OPTIONS[name], int(value))
