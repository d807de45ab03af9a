"""Morphological clean-up of masks with a disk, 64 pixels to a word."""

from __future__ import annotations

import math
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_Words = NDArray[np.uint64]
"""Rows of bits, the first pixel lowest; bits beyond the last pixel are 0."""


def close_then_open(mask: Mask, closing: int, opening: int) -> Mask:
    """Fill gaps narrower than a disk of radius `closing`, then drop specks smaller than one of radius `opening`.

    As `odc.algo.mask_cleanup(mask, [("closing", closing), ("opening", opening)])`. A pixel is right if the mask reaches
    `2 * (closing + opening)` pixels beyond it.
    """
    within = _as_words(np.ones(mask.shape[-1], bool))
    gaps = ~_dilated(_as_words(mask), closing) & within
    gaps = _dilated(_dilated(gaps, closing) & within, opening)
    return _from_words(_dilated(~gaps & within, opening), mask.shape[-1])


def _dilated(words: _Words, radius: int) -> _Words:
    """Set every pixel within the disk x^2 + y^2 <= radius^2 around a set one; bits beyond the last pixel may be set."""
    if radius == 0:
        return words
    half_widths = [isqrt(radius * radius - dy * dy) for dy in range(radius + 1)]
    from ardcube.kernels import morphology  # numba takes a second to import

    found = np.zeros(words.shape, np.uint64)
    several = (math.prod(words.shape[:-2]), *words.shape[-2:])
    morphology.dilate(words.reshape(several), np.array(half_widths), found.reshape(several))
    return found


def _as_words(mask: Mask) -> _Words:
    """Bool (..., x) as words."""
    packed = np.packbits(mask, axis=-1, bitorder="little")
    missing = -packed.shape[-1] % 8
    padded = np.pad(packed, [(0, 0)] * (packed.ndim - 1) + [(0, missing)])
    return padded.view("<u8").astype(np.uint64, copy=False)


def _from_words(words: _Words, width: int) -> Mask:
    little = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, axis=-1, count=width, bitorder="little").view(bool)
