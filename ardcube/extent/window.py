"""Rectangles of pixels (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of pixels of a grid; it may extend beyond the grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The region of an array (y, x)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def split(self, most: int) -> Iterator[Window]:
        """Partition the window, row by row, into nearly equal windows of at most `most` pixels a side."""
        (ys, height), (xs, width) = (self.y0, self.y1 - self.y0), (self.x0, self.x1 - self.x0)
        rows, cols = max(1, -(-height // most)), max(1, -(-width // most))
        for row in range(rows):
            for col in range(cols):
                yield Window(
                    ys + height * row // rows,
                    ys + height * (row + 1) // rows,
                    xs + width * col // cols,
                    xs + width * (col + 1) // cols,
                )

    def aligned(self, size: int) -> Iterator[Window]:
        """Partition the window at the multiples of `size`, row by row."""
        for y0 in range(self.y0 // size * size, self.y1, size):
            for x0 in range(self.x0 // size * size, self.x1, size):
                yield Window(max(y0, self.y0), min(y0 + size, self.y1), max(x0, self.x0), min(x0 + size, self.x1))

    def relative_to(self, other: Window) -> Window:
        """Return the same pixels, counted from the first pixel of another window."""
        return Window(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)

    def placed_in(self, other: Window) -> Window:
        """Return the pixels of a window that is counted from the first pixel of another one; undo `relative_to`."""
        return Window(self.y0 + other.y0, self.y1 + other.y0, self.x0 + other.x0, self.x1 + other.x0)

    def grow(self, pixels: int) -> Window:
        """Add `pixels` on every side."""
        return Window(self.y0 - pixels, self.y1 + pixels, self.x0 - pixels, self.x1 + pixels)
