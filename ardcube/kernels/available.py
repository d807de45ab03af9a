"""Whether kernels are compiled."""

from importlib.util import find_spec

COMPILED = find_spec("numba") is not None
"""Without numba, which lags behind new Python versions, plain NumPy gives the same bits."""
