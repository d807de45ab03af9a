"""Morphological closing and opening of masks with a disk, 64 pixels to a word."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_Words = NDArray[np.uint64]
"""Rows of bits (..., y, word). The first pixel is the lowest bit of a word; bits after the last pixel are 0."""


def close_then_open(mask: Mask, closing: int, opening: int) -> Mask:
    """Fill gaps narrower than a disk of radius `closing`, then drop specks smaller than one of radius `opening`.

    Equal to `odc.algo.mask_cleanup(mask, [("closing", closing), ("opening", opening)])`. Outside of the mask nothing
    is set. A pixel has its value on an unbounded plane if the mask extends `2 * (closing + opening)` pixels around it.

    Parameters
    ----------
    mask : bool (..., y, x)
    closing : int
        Radius of the disk x^2 + y^2 <= closing^2, in pixels; 0 changes nothing.
    opening : int
        Radius of the disk, in pixels; 0 changes nothing.
    """
    within = _as_words(np.ones(mask.shape[-1], bool))
    gaps = ~_dilated(_as_words(mask), closing) & within
    gaps = _dilated(_dilated(gaps, closing) & within, opening)
    return _from_words(_dilated(~gaps & within, opening), mask.shape[-1])


def _dilated(words: _Words, radius: int) -> _Words:
    """Set every pixel within a disk around a set pixel. Bits after the last pixel may be set."""
    if radius == 0:
        return words
    from ardcube.kernels import morphology  # numba takes a second to import

    half_widths = [math.isqrt(radius * radius - dy * dy) for dy in range(radius + 1)]
    found = np.zeros(words.shape, np.uint64)
    images = (math.prod(words.shape[:-2]), *words.shape[-2:])
    morphology.dilate(words.reshape(images), np.array(half_widths), found.reshape(images))
    return found


def _as_words(mask: Mask) -> _Words:
    """Pack bool (..., x) into words."""
    packed = np.packbits(mask, axis=-1, bitorder="little")
    missing = -packed.shape[-1] % 8
    padded = np.pad(packed, [(0, 0)] * (packed.ndim - 1) + [(0, missing)])
    return padded.view("<u8").astype(np.uint64, copy=False)


def _from_words(words: _Words, width: int) -> Mask:
    """Unpack words to bool (..., x)."""
    little = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, axis=-1, count=width, bitorder="little").view(bool)
