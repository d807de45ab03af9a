"""Morphological clean-up of masks with a disk (pure NumPy)."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dilate(mask: Mask, radius: int) -> Mask:
    """Set every pixel within `radius` pixels of a set one.

    Parameters
    ----------
    mask : bool (..., y, x)
        Outside of it nothing is set.
    radius : int
        Radius of the disk x^2 + y^2 <= radius^2, in pixels; 0 changes nothing.
    """
    if radius == 0:
        return mask.copy()
    half_widths = [isqrt(radius * radius - dy * dy) for dy in range(radius + 1)]
    rows: dict[int, Mask] = {}
    row = mask.copy()
    for width in range(radius + 1):
        if width:
            row[..., width:] |= mask[..., :-width]
            row[..., :-width] |= mask[..., width:]
        if width in half_widths:
            rows[width] = row.copy()
    result = rows[half_widths[0]].copy()
    for dy in range(1, radius + 1):
        run = rows[half_widths[dy]]
        result[..., dy:, :] |= run[..., :-dy, :]
        result[..., :-dy, :] |= run[..., dy:, :]
    return result


def erode(mask: Mask, radius: int) -> Mask:
    """Clear every pixel within `radius` pixels of a cleared one; outside of the mask nothing is cleared."""
    return ~dilate(~mask, radius)


def close_then_open(mask: Mask, closing: int, opening: int) -> Mask:
    """Fill gaps narrower than a disk of radius `closing`, then drop specks smaller than one of radius `opening`.

    As `odc.algo.mask_cleanup(mask, [("closing", closing), ("opening", opening)])`. A pixel is right if the mask reaches
    `2 * (closing + opening)` pixels beyond it.
    """
    closed = erode(dilate(mask, closing), closing)
    return dilate(erode(closed, opening), opening)
