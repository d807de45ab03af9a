"""The directories of a little-endian TIFF or BigTIFF, out of the file's first bytes (pure).

Every place and count is held to the bytes that are there: a damaged one costs neither memory nor the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Tag(IntEnum):
    """What is read of a directory, by its number (TIFF 6.0, GeoTIFF 1.1, GDAL)."""

    SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    SAMPLES = 277
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_SIZES = 325
    SAMPLE_FORMAT = 339
    PIXEL_SCALE = 33550
    TIE_POINT = 33922
    GEO_KEYS = 34735
    NODATA = 42113


Directory = Mapping[int, NDArray[Any]]
"""Values by tag, one-dimensional; text as bytes, uint8."""

_MOST_DIRECTORIES = 64
"""Levels and masks; a chain that is longer leads back to itself."""
_TYPES = {
    number: np.dtype(code)
    for number, code in {
        1: "u1", 2: "u1", 3: "<u2", 4: "<u4", 7: "u1", 11: "<f4", 12: "<f8", 13: "<u4", 16: "<u8", 18: "<u8",
    }.items()
}  # fmt: skip
"""Of values, by their number (TIFF 6.0, page 15, and BigTIFF); no tag above has signed or rational ones."""
_WANTED = frozenset(Tag)
_CLASSIC = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u4"), ("value", "<u4")])
_BIG = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u8"), ("value", "<u8")])


def is_little_endian(start: bytes) -> bool:
    """Whether a file begins as a little-endian TIFF or BigTIFF does."""
    return start[:4] in (b"II*\0", b"II+\0")


def read_directories(start: bytes) -> list[Directory] | None:
    """Read all directories of a file; None if it has none, or if they, or values of theirs, lie beyond its first bytes.

    Parameters
    ----------
    start : bytes
        Of a file that `is_little_endian`.
    """
    big = start[2:3] == b"+"
    entry, pointer, number = (_BIG, 8, 8) if big else (_CLASSIC, 4, 2)
    directories: list[Directory] = []
    place = _integer(start, pointer, pointer)
    while place and len(directories) < _MOST_DIRECTORIES:
        count = _integer(start, place, number)
        first, after = place + number, place + number + count * entry.itemsize
        if not count or after + pointer > len(start):
            return None
        values: dict[int, NDArray[Any]] = {}
        for index, (tag, kind, length, target) in enumerate(np.frombuffer(start, entry, count, first).tolist()):
            dtype = _TYPES.get(kind)
            if tag not in _WANTED or dtype is None or not length:
                continue
            size = length * dtype.itemsize
            at = target if size > pointer else first + (index + 1) * entry.itemsize - pointer
            if at + size > len(start):
                return None
            values[tag] = np.frombuffer(start, dtype, length, at)
        directories.append(values)
        place = _integer(start, after, pointer)
    return None if place or not directories else directories


def _integer(start: bytes, at: int, size: int) -> int:
    """A little-endian integer; 0 beyond the end."""
    return int.from_bytes(start[at : at + size], "little")
