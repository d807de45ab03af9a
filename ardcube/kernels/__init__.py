"""Compiled loops over pixels (numba): interpolation, resampling, morphology, statistics.

Functions take and fill NumPy arrays; they read no file and hold no state. `layout` has the constants that callers share
with them.
"""
