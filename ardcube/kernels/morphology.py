"""Compiled: dilation of bit masks by a disk, 64 pixels to a word.

A mask is a flat array of words. Its rows follow each other with words of zeros between them, so that the loops run over
many rows at once. `ardcube.pixels.morphology.Layout` describes the array.
"""

from __future__ import annotations

import numpy as np

from ardcube.kernels.jit import jit
from ardcube.kernels.layout import FLAGS_TO_BITS
from ardcube.kernels.simd import within_range

_ROWS = 32
"""Rows that are dilated together, so that they stay in the processor's cache."""
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A word of which all bits are set."""


@jit
def pack(numbers, lows, spans, start, stride, words):  # type: ignore[no-untyped-def]
    """Set the bits of the pixels whose number is in one of the ranges `low..low + span`; set each word of each row.

    `numbers` (y, x) are packed into `words` from `start` on, with `stride` words from row to row.
    """
    height, width = numbers.shape
    flat, whole, rest = numbers.reshape(numbers.size), width // 64, width % 64
    last = np.zeros(64, numbers.dtype)
    for i in range(height):
        for k in range(whole):
            found = np.uint64(0)
            for n in range(len(lows)):
                found |= within_range(flat, i * width + k * 64, lows[n], spans[n])
            words[start + i * stride + k] = found
        if rest > 0:
            last[:rest] = numbers[i, whole * 64 :]
            found = np.uint64(0)
            for n in range(len(lows)):
                found |= within_range(last, 0, lows[n], spans[n])
            words[start + i * stride + whole] = found & ((np.uint64(1) << np.uint64(rest)) - np.uint64(1))


@jit
def pack_table(numbers, table, start, stride, words):  # type: ignore[no-untyped-def]
    """Set the bits of the pixels whose number is set in a table, uint8 (number,); set each word of each row.

    For bit fields, whose numbers form hundreds of ranges. See `pack` for the other parameters.
    """
    height, width = numbers.shape
    for i in range(height):
        line = numbers[i]
        for k in range((width + 63) // 64):
            first, found = 64 * k, np.uint64(0)
            for j in range(min(64, width - first)):
                found |= np.uint64(table[line[first + j]]) << np.uint64(j)
            words[start + i * stride + k] = found


@jit
def _add(line, words, first, count):  # type: ignore[no-untyped-def]
    # With a signed index numba checks for negative values, and takes words one by one.
    for j in range(np.uint64(count)):
        line[j] |= words[np.uint64(first) + j]


@jit
def _widen(line, step, widened):  # type: ignore[no-untyped-def]
    """Fill `widened` with the set bits of a line, and those `step` bits before and after them; `step` is below 64."""
    bits, rest, one = np.uint64(step), np.uint64(64 - step), np.uint64(1)
    for j in range(one, np.uint64(len(line)) - one):
        before_and_after = (line[j] << bits) | (line[j - one] >> rest) | (line[j] >> bits) | (line[j + one] << rest)
        widened[j] = line[j] | before_and_after


@jit
def dilate(words, covered, half_widths, start, stride, height, inverted, result):  # type: ignore[no-untyped-def]
    """Fill `result` with the covered pixels within a disk around a set pixel, or `inverted` with the others.

    `half_widths` (dy,) are the half widths of the disk's rows, in pixels, from the middle row outwards. Rows of pixels
    at equal distance from the middle are added where the disk has their width, from the widest on, and the sum is
    widened by the difference to the next width.
    """
    radius, pad = len(half_widths) - 1, half_widths[0] // 64 + 1
    # Two arrays, because rows of one array take twice the time.
    one, other = np.zeros(_ROWS * stride + 2 * pad, np.uint64), np.zeros(_ROWS * stride + 2 * pad, np.uint64)
    for top in range(0, height, _ROWS):
        count, first = min(_ROWS, height - top) * stride, start + top * stride
        set_bits = unset_bits = np.uint64(0)
        for j in range(np.uint64(first - radius * stride), np.uint64(first + count + radius * stride)):
            set_bits |= words[j]
            unset_bits |= words[j] ^ covered[j]
        line, widened = one, other
        line[:] = np.uint64(0) if unset_bits != 0 else _ALL
        if set_bits != 0 and unset_bits != 0:
            width, dy = half_widths[0], 0
            while dy <= radius:
                while dy <= radius and half_widths[dy] == width:
                    _add(line[pad:], words, first - dy * stride, count)
                    _add(line[pad:], words, first + dy * stride, count)
                    dy += 1
                gap, done = width - (half_widths[dy] if dy <= radius else 0), 0
                width -= gap
                while done < gap:
                    step = min(2 * done + 1, gap - done, 63)  # leaves no hole between the three copies
                    _widen(line, step, widened)
                    line, widened = widened, line
                    done += step
        at = np.uint64(first)
        flip = _ALL if inverted else np.uint64(0)
        for j in range(np.uint64(count)):
            result[at + j] = covered[at + j] & (line[np.uint64(pad) + j] ^ flip)


@jit
def sample_bits(words, start, stride, height, width, rows, columns, row, column, sampled):  # type: ignore[no-untyped-def]
    """Fill `sampled` (y, byte) with the bits at `rows` and `columns` (y, x) of the raster; 0 outside of the mask.

    The mask has `height` x `width` pixels, of which the first is at `row` and `column` of the raster. The first bit of
    a byte of `sampled` is the highest.
    """
    flags = np.zeros(8 * sampled.shape[1], np.uint8)
    eights = flags.view(np.uint64)
    at, shift = np.empty((2, rows.shape[1]), np.uint64)
    # Unsigned, so that a pixel before the first row or column gets a very large index.
    high, wide, first_row, first_column = np.uint32(height), np.uint32(width), np.uint32(row), np.uint32(column)
    for i in range(rows.shape[0]):
        down, along = rows[i], columns[i]
        for j in range(np.uint64(len(at))):
            v, u = np.uint32(down[j]) - first_row, np.uint32(along[j]) - first_column
            inside = (v < high) & (u < wide)
            place = np.uint64(start) + np.uint64(v) * np.uint64(stride) + np.uint64(u >> np.uint32(6))
            at[j] = place if inside else np.uint64(0)  # the first word is 0
            shift[j] = np.uint64(u & np.uint32(63))
        for j in range(np.uint64(len(at))):
            flags[j] = (words[at[j]] >> shift[j]) & np.uint64(1)
        for byte in range(np.uint64(sampled.shape[1])):
            sampled[i, byte] = (eights[byte] * FLAGS_TO_BITS) >> np.uint64(56)
