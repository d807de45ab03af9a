"""Compile kernels with numba, and cache their machine code.

Kernels are compiled without fastmath. Additions keep their order, so that a pixel has the same value everywhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba

_HERE = Path(__file__).parent
_config: Any = numba.config  # numba adds the attributes at run time
_config_lock = Lock()
"""Several threads may import a kernel for the first time."""


def _digest() -> str:
    sources = [path.read_bytes() for path in sorted(_HERE.glob("*.py"))]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


_FOLDER = f"kernels-{_digest()}"
_KEPT = 4
"""Caches that are kept, because versions of this package may share a folder; one takes some megabytes."""


@cache
def _cache_in(parent: Path) -> Path:
    """Return the cache folder of this version; remove those of other versions that were used longest ago."""
    own = parent / _FOLDER
    with suppress(OSError):  # in a read-only installation numba chooses another place
        own.mkdir(parents=True, exist_ok=True)
        os.utime(own)
        caches = sorted(parent.glob("kernels-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for unused in caches[_KEPT:]:
            shutil.rmtree(unused, ignore_errors=True)
    return own


def jit(function: Callable[..., Any], *, inline: bool = False) -> Any:
    """Compile a function at its first call, or load its machine code from the cache.

    Numba checks only the source file of the function itself, although constants and functions of other files are
    compiled into it. The cache folder is therefore named after a digest of all files of this package.
    """
    with _config_lock:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(_cache_in(Path(before or _HERE / "__pycache__")))
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=inline)(function)
        finally:
            _config.CACHE_DIR = before


def jit_inline(function: Callable[..., Any]) -> Any:
    """Compile a function into each caller.

    A constant loop count of the caller then unrolls the loop, and a short function is not called for every run.
    """
    return jit(function, inline=True)
