"""Reduce or enlarge a part of a cube to a picture: true proportions, averages of valid pixels (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.window import Window

_LEAST_SIDE = 480
"""Longest side of a picture, in pixels, up to which small cubes are enlarged."""
_LEAST_COSINE = 0.01
"""Smallest cosine of latitude for the proportions: at the poles a pixel has no width."""
_FEW_PIXELS = 256
"""Pixels per side of a chunk that its mean is computed from, at least, if the chunk has as many."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A part of a cube, and the picture that it becomes."""

    window: Window
    """Part of the cube's grid."""
    shape: tuple[int, int]
    """Rows and columns of the picture."""

    @classmethod
    def of(cls, window: Window, pixel_width: float, most: int) -> Thumbnail:
        """Choose the shape of a picture whose proportions are true.

        Parameters
        ----------
        window : Window
            Part of the cube's grid.
        pixel_width : float
            Width of a pixel on the ground at the centre, as a share of its height.
        most : int
            Longest side of the picture, in pixels. Small parts are enlarged by a whole number.
        """
        rows, cols = window.shape
        wide = cols * pixel_width
        longest = max(rows, wide)
        scale = most / longest if longest > most else max(1, min(_LEAST_SIDE, most) // math.ceil(longest))
        return cls(window, (max(1, round(rows * scale)), max(1, round(wide * scale))))

    def mean(
        self, read: Callable[[Window], NDArray[np.uint16] | None], block: int, *, zero_is_valid: bool = False
    ) -> NDArray[np.float32]:
        """Average the valid pixels that each pixel of the picture covers.

        Parameters
        ----------
        read : callable
            Return the pixels of a window, uint16 (y, x, band), or None if it has none.
        block : int
            Rows and columns of the windows that are read, which are aligned to this number of pixels.
        zero_is_valid : bool
            Whether 0 is a number like any other, instead of nodata.

        Returns
        -------
        float32 (y, x, band)
            NaN where no pixel is valid.
        """
        size = self.window.shape
        small = min(size[0], self.shape[0]), min(size[1], self.shape[1])
        sums, counts = np.zeros((*small, 0)), np.zeros((*small, 0))
        for part in self.window.aligned(block):
            values = read(part)
            if values is None:
                continue
            if not sums.shape[2]:
                sums, counts = (np.zeros((*small, values.shape[2])) for _ in range(2))
            near = part.relative_to(self.window)
            rows, row_starts = _targets(near.y0, near.y1, size[0], small[0])
            cols, col_starts = _targets(near.x0, near.x1, size[1], small[1])
            target = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
            sums[target] += _sums(values, row_starts, col_starts)
            valid = np.ones_like(values, bool) if zero_is_valid else values != 0
            counts[target] += _sums(valid, row_starts, col_starts)
        with np.errstate(invalid="ignore"):
            means = (sums / counts).astype(np.float32)
        return means[np.ix_(_nearest(self.shape[0], small[0]), _nearest(self.shape[1], small[1]))]

    def sample(
        self, read: Callable[[Window], NDArray[np.uint16] | None], chunk: int, step: int, threads: Executor
    ) -> NDArray[np.float32]:
        """Fill each square of `step` x `step` chunks with the mean of the valid pixels of its middle chunk.

        Parameters
        ----------
        read : callable
            Return the pixels of a window, uint16 (y, x, band), or None if it has none.
        chunk : int
            Rows and columns of a chunk, in pixels.
        step : int
            Chunks on a side of a square.
        threads : Executor
            Threads that read.

        Returns
        -------
        float32 (y, x, band)
            NaN where the chunk that was read has no valid pixel.
        """
        rows, cols = self.window.shape
        y, x = ((_middles(length, chunk, step) * chunk).tolist() for length in (rows, cols))
        parts = [
            Window(y0, min(y0 + chunk, rows), x0, min(x0 + chunk, cols)).placed_in(self.window) for y0 in y for x0 in x
        ]
        every = max(1, chunk // _FEW_PIXELS)

        def mean(part: Window) -> NDArray[np.float64]:
            values = read(part)
            if values is None:
                return np.full(1, np.nan)
            seen = values[::every, ::every].reshape(-1, values.shape[2])
            counts = (seen != 0).sum(axis=0)
            return np.where(counts > 0, seen.sum(axis=0) / np.maximum(counts, 1), np.nan)

        found = list(threads.map(mean, parts))
        bands = max(map(len, found))
        means = np.array([np.broadcast_to(one, bands) for one in found], np.float32).reshape(len(y), len(x), bands)
        side = chunk * step
        squares = (_nearest(pixels, length) // side for pixels, length in zip(self.shape, (rows, cols), strict=True))
        return means[np.ix_(*squares)]


def cosine(latitude: float) -> float:
    """Return the width of a degree of longitude at a latitude, as a share of a degree of latitude."""
    return max(_LEAST_COSINE, math.cos(math.radians(latitude)))


def _targets(start: int, stop: int, size: int, small: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of the picture that contain the centres of pixels, and where each of them begins."""
    targets = (2 * np.arange(start, stop) + 1) * small // (2 * size)
    starts = np.flatnonzero(np.diff(targets, prepend=-1))
    return targets[starts], starts


def _sums(values: NDArray[np.generic], rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0, dtype=np.float64), cols, axis=1)


def _middles(length: int, chunk: int, step: int) -> NDArray[np.int64]:
    """Return the middle chunk of each `step` chunks of an axis of `length` pixels."""
    chunks = -(-length // chunk)
    starts = np.arange(0, chunks, step)
    return (starts + np.minimum(starts + step, chunks)) // 2


def _nearest(length: int, small: int) -> NDArray[np.int64]:
    return (2 * np.arange(length) + 1) * small // (2 * length)
