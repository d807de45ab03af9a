"""Compiled loops over pixels (numba): interpolation, resampling, morphology, statistics.

Functions take NumPy arrays and fill NumPy arrays. They read no file and hold no state. The SIMD code of the project is
in this package alone (docs/simd.md).
"""
