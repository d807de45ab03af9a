"""Clean a mask by morphological closing, opening and a buffer with disks in metres, 64 pixels to a word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_Words = NDArray[np.uint64]
"""Rows of bits (y, word). The first pixel is the lowest bit of a word; bits after the last pixel are 0."""
_TOLERANCE = 1e-6
"""Share of a radius by which the centre of a pixel may be outside of a disk."""


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Radii of the steps that clean a mask, in metres."""

    closing: float
    opening: float
    buffer: float = 0.0

    @property
    def reach(self) -> float:
        """Distance beyond which no pixel changes the result, in metres."""
        return 2 * (self.closing + self.opening) + self.buffer


def clean(mask: Mask, covered: Mask, radii: CleanUp, pixel: tuple[float, float]) -> Mask:
    """Close a mask, open it, and buffer it with disks in metres; pixels that are not covered are neutral.

    Closing fills gaps that its disk does not fit into. Opening drops specks that its disk does not fit into. The buffer
    grows what remains. A pixel that is not covered, and a pixel outside of the array, is unset where a mask grows and
    set where a mask shrinks.

    Parameters
    ----------
    mask : bool (y, x)
        Pixels that are not clear; those that are not covered are ignored.
    covered : bool (y, x)
        Pixels that are known to be clear or not.
    radii : CleanUp
        Radii in metres. A radius below one pixel changes nothing.
    pixel : (float, float)
        Height and width of a pixel, in metres.

    Returns
    -------
    bool (y, x)
        False where nothing is covered.
    """
    within = _as_words(covered)
    found = _as_words(mask) & within
    closing, opening, buffer = (disk(radius, pixel) for radius in (radii.closing, radii.opening, radii.buffer))
    for half_widths, steps in ((closing, (_grown, _shrunk)), (opening, (_shrunk, _grown)), (buffer, (_grown,))):
        if half_widths[0] > 0 or len(half_widths) > 1:
            for step in steps:
                found = step(found, within, half_widths)
    return _from_words(found, mask.shape[1])


def disk(radius: float, pixel: tuple[float, float]) -> NDArray[np.int64]:
    """Return the half widths of the rows of a disk, in pixels, from the middle row outwards: int64 (row,).

    A pixel belongs to the disk if its centre is within the radius.

    Parameters
    ----------
    radius : float
        In metres.
    pixel : (float, float)
        Height and width of a pixel, in metres.
    """
    height, width = pixel
    within = radius * (1 + _TOLERANCE)
    rows = np.arange(int(within / height) + 1) * height
    half_widths: NDArray[np.int64] = np.floor(np.sqrt(np.maximum(within**2 - rows**2, 0.0)) / width).astype(np.int64)
    return half_widths


def _grown(words: _Words, within: _Words, half_widths: NDArray[np.int64]) -> _Words:
    """Dilate a mask, within the covered pixels."""
    from ardcube.kernels import morphology  # numba takes a second to import

    found = np.zeros((1, *words.shape), np.uint64)
    morphology.dilate(words[None], half_widths, found)
    grown: _Words = found[0] & within
    return grown


def _shrunk(words: _Words, within: _Words, half_widths: NDArray[np.int64]) -> _Words:
    """Erode a mask: dilate the covered pixels that are not set."""
    return within & ~_grown(within & ~words, within, half_widths)


def _as_words(mask: Mask) -> _Words:
    """Pack bool (y, x) into words."""
    packed = np.packbits(mask, axis=-1, bitorder="little")
    missing = -packed.shape[-1] % 8
    padded = np.pad(packed, [(0, 0), (0, missing)])
    return padded.view("<u8").astype(np.uint64, copy=False)


def _from_words(words: _Words, width: int) -> Mask:
    """Unpack words to bool (y, x)."""
    little = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, axis=-1, count=width, bitorder="little").view(bool)
