"""Compiled: average blocks of 2 x 2 pixels, of which only the valid ones count."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit, jit_inline


@jit_inline
def _sum(a, b, c, d, nodata):  # type: ignore[no-untyped-def]
    """Return the sum and the number of the valid ones of four numbers; NaN is never valid."""
    total, count = 0.0, 0.0
    for number in (np.float64(a), np.float64(b), np.float64(c), np.float64(d)):
        is_valid = (number == number) & (number != nodata)
        total += number if is_valid else 0.0
        count += 1.0 if is_valid else 0.0
    return total, count


# At an odd edge the last row or column counts twice, which changes no mean.


@jit
def halve_integers(values, nodata, fill, out):  # type: ignore[no-untyped-def]
    """Fill `out` with means of `values` (y, x), rounded half to even; `fill` where no pixel is valid."""
    height, width = values.shape
    for i in range(out.shape[0]):
        upper, lower, means = values[2 * i], values[min(2 * i + 1, height - 1)], out[i]
        for j in range(width // 2):
            total, count = _sum(upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1], nodata)
            means[j] = np.rint(total / max(count, 1.0)) if count > 0 else fill
        if width % 2:
            total, count = _sum(upper[-1], upper[-1], lower[-1], lower[-1], nodata)
            means[-1] = np.rint(total / max(count, 1.0)) if count > 0 else fill


@jit
def halve_floats(values, nodata, fill, out):  # type: ignore[no-untyped-def]
    """Fill `out` with means of `values` (y, x), summed in float64; `fill` where no pixel is valid."""
    height, width = values.shape
    for i in range(out.shape[0]):
        upper, lower, means = values[2 * i], values[min(2 * i + 1, height - 1)], out[i]
        for j in range(width // 2):
            total, count = _sum(upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1], nodata)
            means[j] = total / max(count, 1.0) if count > 0 else fill
        if width % 2:
            total, count = _sum(upper[-1], upper[-1], lower[-1], lower[-1], nodata)
            means[-1] = total / max(count, 1.0) if count > 0 else fill
