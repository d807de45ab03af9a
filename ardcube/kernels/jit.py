"""How kernels are compiled, and where the machine code is kept.

Compiled without fastmath: additions keep their order, so that a pixel is the same wherever it is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numba

_HERE = Path(__file__).parent
_settings: Any = numba.config  # whose attributes numba makes at run time
_setting = Lock()
"""Threads import these modules when they first need them."""


def _digest() -> str:
    texts = [path.read_bytes() for path in sorted(_HERE.glob("*.py"))]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:16]


_FOLDER = f"kernels-{_digest()}"


def jit(function: Callable[..., Any], *, inline: bool = False) -> Any:
    """Compile a function at its first call, or take the machine code of an earlier process.

    Numba takes kept code for new as long as the function's own file is the same, and would go on computing with what
    other files said before they changed. So each state of all of them has a folder of its own.
    """
    with _setting:
        before = _settings.CACHE_DIR
        _settings.CACHE_DIR = str(Path(before or _HERE / "__pycache__") / _FOLDER)
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=inline)(function)
        finally:
            _settings.CACHE_DIR = before


def jit_inline(function: Callable[..., Any]) -> Any:
    """Compile a function into each that calls it, so that a count which is a constant there leaves no loop."""
    return jit(function, inline=True)
