"""Compile a kernel with numba where it is installed; run it as plain Python where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

numba: Any
try:
    import numba
except ImportError:  # numba lags behind new Python versions; every kernel has a NumPy way beside it
    numba = None


class _Jit:
    """Decorator: compiled on first call, cached on disk, releasing the GIL; without fastmath, so bits are stable."""

    compiled: bool = numba is not None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if numba is None:
            return function
        compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
        return compiled


jit = _Jit()
