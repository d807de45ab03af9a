"""Whether the first bytes of a TIFF hold all of its directories (pure).

A parser that believes a damaged count asks for as much memory as that says; async-tiff then ends the whole process.
"""

from __future__ import annotations

import numpy as np

_MOST_DIRECTORIES = 64
"""Levels and masks; a chain that is longer leads back to itself."""
_SIZES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8])
"""Bytes of a value by its type (TIFF 6.0, page 15, and BigTIFF); 0 is no type."""
_CLASSIC = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u4"), ("value", "<u4")])
_BIG = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u8"), ("value", "<u8")])


def is_little_endian(start: bytes) -> bool:
    """Whether a file begins as a little-endian TIFF or BigTIFF does."""
    return start[:4] in (b"II*\0", b"II+\0")


def holds_directories(start: bytes) -> bool:
    """Whether a little-endian TIFF's directories, and all values they point to, lie within its first bytes."""
    big = start[2:3] == b"+"
    entry, pointer, number = (_BIG, 8, 8) if big else (_CLASSIC, 4, 2)
    place = _integer(start, pointer, pointer)
    for _ in range(_MOST_DIRECTORIES):
        count = _integer(start, place, number)
        first, after = place + number, place + number + count * entry.itemsize
        if not place or not count or after + pointer > len(start):
            return False
        entries = np.frombuffer(start, entry, count, first)
        sizes = _SIZES[np.minimum(entries["type"], len(_SIZES) - 1)]
        # As floats, since a damaged count times a size may leave 64 bits.
        lengths = entries["count"].astype(float) * sizes
        ends = np.where(lengths > pointer, entries["value"].astype(float) + lengths, 0.0)
        if (sizes == 0).any() or (entries["type"] >= len(_SIZES)).any() or ends.max() > len(start):
            return False
        place = _integer(start, after, pointer)
        if not place:
            return True
    return False


def _integer(start: bytes, at: int, size: int) -> int:
    """A little-endian integer; 0 beyond the end."""
    return int.from_bytes(start[at : at + size], "little")
