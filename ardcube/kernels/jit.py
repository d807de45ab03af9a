"""Compile kernels with numba, and cache their machine code.

Kernels are compiled without fastmath. Additions keep their order, so that a pixel has the same value everywhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba
from filelock import FileLock
from numba.core.caching import FunctionCache

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
_LONGEST_WAIT = 30.0
"""Seconds to wait for another process that writes to the cache."""


class _Cache(FunctionCache):
    """Numba's cache, to which one process writes at a time.

    Without it, two processes that compile a function for different types at once choose one file name for both. The
    index then states the wrong types of the file, and every later call fails until somebody deletes the cache.
    """

    def save_overload(self, sig: Any, data: Any) -> None:
        with ExitStack() as stack:
            with suppress(OSError, NotImplementedError):  # a filesystem without locks; Timeout is an OSError too
                self._impl.locator.ensure_cache_path()
                stack.enter_context(FileLock(Path(self.cache_path) / "lock", timeout=_LONGEST_WAIT))
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


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
            compiled: Any = numba.njit(nogil=True, error_model="numpy", forceinline=inline)(function)
            compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
            return compiled
        finally:
            _config.CACHE_DIR = before


def jit_inline(function: Callable[..., Any]) -> Any:
    """Compile a function into each caller.

    A constant loop count of the caller then unrolls the loop, and a short function is not called for every run.
    """
    return jit(function, inline=True)
