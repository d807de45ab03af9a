"""Clean a mask by morphological closing, opening and a buffer with disks in metres, 64 pixels to a word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""Bits of a mask, as a `Layout` describes."""
HalfWidths = NDArray[np.int64]
_TOLERANCE = 1e-6
"""Metres by which the centre of a pixel may be outside of a disk."""


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Radii of the steps that clean a mask, in metres. A radius below one pixel changes nothing."""

    closing: float = 0.0
    opening: float = 0.0
    buffer: float = 0.0

    @property
    def reach(self) -> float:
        """Distance beyond which no pixel changes the result, in metres."""
        return 2 * (self.closing + self.opening) + self.buffer

    def without_effect(self, pixel: float) -> list[str]:
        """Return the names of steps whose radius is given and below a pixel's side, in metres."""
        steps = {"closing": self.closing, "opening": self.opening, "buffer": self.buffer}
        return [name for name, radius in steps.items() if 0 < radius < pixel]

    def disks(self, pixel: tuple[float, float]) -> tuple[HalfWidths, HalfWidths, HalfWidths]:
        """Return the disks of closing, opening and buffer on pixels of a height and a width in metres."""
        return disk(self.closing, pixel), disk(self.opening, pixel), disk(self.buffer, pixel)


@dataclass(frozen=True, slots=True)
class Layout:
    """The words of a mask (y, x): a flat array with words of zeros around each row.

    Rows follow each other, so that loops run over many rows at once. Zeros keep the rows apart when bits are shifted.
    """

    height: int
    width: int
    margin: int
    """Rows of zeros before the first row and after the last."""
    gap: int
    """Words of zeros before each row and after the last."""

    @classmethod
    def of(cls, shape: tuple[int, int], disks: tuple[HalfWidths, ...]) -> Layout:
        """Return the layout of a mask that disks are applied to."""
        return cls(*shape, max(map(len, disks)) - 1, max(int(half_widths[0]) for half_widths in disks) // 64 + 1)

    @property
    def stride(self) -> int:
        """Words from row to row."""
        return -(-self.width // 64) + self.gap

    @property
    def start(self) -> int:
        """Index of the first word of the first row."""
        return self.gap + self.margin * self.stride

    def zeros(self) -> Words:
        """Return the words of an empty mask."""
        return np.zeros(self.gap + (self.height + 2 * self.margin) * self.stride, np.uint64)


def clean(clear: Words, covered: Words, layout: Layout, disks: tuple[HalfWidths, HalfWidths, HalfWidths]) -> Words:
    """Close, open and buffer the covered pixels that are not clear; return the pixels that are clear then.

    Closing fills gaps that its disk does not fit into. Opening drops specks that its disk does not fit into. The buffer
    grows the rest. A pixel that is not covered, and a pixel outside of the array, is unset where a mask grows and set
    where a mask shrinks. A mask shrinks where the other covered pixels grow.

    Parameters
    ----------
    clear, covered : Words
        Masks of one layout. Clear pixels are covered.
    layout : Layout
        Of both.
    disks : (HalfWidths, HalfWidths, HalfWidths)
        Disks of closing, opening and buffer.
    """
    closing, opening, buffer = disks
    grows_cloud = [(closing, True), (closing, False), (opening, False), (opening, True), (buffer, True)]
    steps = [step for step in grows_cloud if not _is_one_pixel(step[0])]
    if not steps:
        return clear
    from ardcube.kernels import morphology  # numba takes a second to import

    mask = covered & ~clear if steps[0][1] else clear
    following = [grows for _, grows in steps[1:]] + [False]
    for (half_widths, grows), next_grows in zip(steps, following, strict=True):
        grown = layout.zeros()
        inverted = grows != next_grows
        morphology.dilate(mask, covered, half_widths, layout.start, layout.stride, layout.height, inverted, grown)
        mask = grown
    return mask


def disk(radius: float, pixel: tuple[float, float]) -> HalfWidths:
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
    within = radius + _TOLERANCE
    rows = np.arange(int(within / height) + 1) * height
    half_widths: HalfWidths = np.floor(np.sqrt(np.maximum(within**2 - rows**2, 0.0)) / width).astype(np.int64)
    return half_widths


def _is_one_pixel(half_widths: HalfWidths) -> bool:
    return len(half_widths) == 1 and half_widths[0] == 0
