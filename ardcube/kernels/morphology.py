"""Compiled: dilation of bit masks by a disk, 64 pixels to a word."""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit


@jit
def _add_shifted(run, line, pad, width):  # type: ignore[no-untyped-def]
    """Set in `run` (word,) the pixels at distance `width` on both sides of the set pixels of a padded line."""
    # With a signed index numba checks for negative values, and takes words one by one.
    bits, left = np.uint64(width % 64), pad - np.uint64(width // 64)
    right, rest, one = pad + pad - left, np.uint64(64) - bits, np.uint64(1)
    for j in range(np.uint64(len(run))):
        run[j] |= (line[left + j] << bits) | (line[right + j] >> bits)
    if bits != 0:
        left, right = left - one, right + one
        for j in range(np.uint64(len(run))):
            run[j] |= (line[left + j] >> rest) | (line[right + j] << rest)


@jit
def dilate(words, half_widths, result):  # type: ignore[no-untyped-def]
    """Set in `result` (image, y, word) all pixels within a disk around the set pixels of `words`.

    `half_widths` (dy,) are the half widths of the disk's rows, in pixels, from the middle row outwards.
    """
    images, height, count = words.shape
    pad = np.uint64(half_widths[0] // 64 + 1)
    line, run = np.zeros(count + 2 * np.int64(pad), np.uint64), np.empty(count, np.uint64)
    for n, i in np.ndindex(images, height):
        found = np.uint64(0)
        for j in range(np.uint64(count)):
            line[pad + j] = words[n, i, j]
            found |= words[n, i, j]
        if found == 0:
            continue
        run[:] = 0
        dy = len(half_widths) - 1
        for width in range(half_widths[0] + 1):
            _add_shifted(run, line, pad, width)
            while dy >= 0 and half_widths[dy] == width:
                for row in (i - dy, i + dy):
                    if 0 <= row < height:
                        for j in range(np.uint64(count)):
                            result[n, row, j] |= run[j]
                dy -= 1
