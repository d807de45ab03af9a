"""Read the directories of a little-endian TIFF or BigTIFF from the file's first bytes (pure).

Every offset and count is checked against the number of bytes, so that a damaged file costs neither memory nor the
process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Tag(IntEnum):
    """The tags that are read, by number (TIFF 6.0, GeoTIFF 1.1, GDAL)."""

    SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    STRIP_OFFSETS = 273
    SAMPLES = 277
    STRIP_SIZES = 279
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_SIZES = 325
    SAMPLE_FORMAT = 339
    PIXEL_SCALE = 33550
    TIE_POINT = 33922
    GEO_KEYS = 34735
    METADATA = 42112
    NODATA = 42113
    METADATA_RANGE = -42112
    """First byte and number of bytes of `METADATA` if they are not among the bytes that were read. No TIFF has it."""


Directory = Mapping[int, NDArray[Any]]
"""Values by tag, one-dimensional; text as bytes, uint8."""

_MAX_DIRECTORIES = 64
"""Levels and masks of a file. A longer chain of directories is a loop."""
_TYPES = {
    number: np.dtype(code)
    for number, code in {
        1: "u1", 2: "u1", 3: "<u2", 4: "<u4", 7: "u1", 11: "<f4", 12: "<f8", 13: "<u4", 16: "<u8", 18: "<u8",
    }.items()
}  # fmt: skip
"""Data types of values, by number (TIFF 6.0, page 15, and BigTIFF). No tag above has signed or rational values."""
_KNOWN_TAGS = frozenset(Tag)
_CLASSIC = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u4"), ("value", "<u4")])
_BIG = np.dtype([("tag", "<u2"), ("type", "<u2"), ("count", "<u8"), ("value", "<u8")])


def is_little_endian(start: bytes) -> bool:
    """Return whether a file begins as a little-endian TIFF or BigTIFF."""
    return start[:4] in (b"II*\0", b"II+\0")


def read_directories(start: bytes) -> list[Directory] | int:
    """Read all directories of a file.

    Parameters
    ----------
    start : bytes
        First bytes of a file that `is_little_endian`.

    Returns
    -------
    list of Directory, or int
        Directories; or, if the bytes do not hold all values, how many bytes are needed at least. 0 if the file has no
        directory, or a loop of directories.
    """
    big = start[2:3] == b"+"
    entry, pointer, number = (_BIG, 8, 8) if big else (_CLASSIC, 4, 2)
    directories: list[Directory] = []
    if len(start) < 2 * pointer:
        return 2 * pointer
    offset = _integer(start, pointer, pointer)
    while offset and len(directories) < _MAX_DIRECTORIES:
        count = _integer(start, offset, number)
        first, after = offset + number, offset + number + count * entry.itemsize
        if after + pointer > len(start):
            return after + pointer
        if not count:
            return 0
        values: dict[int, NDArray[Any]] = {}
        for index, (tag, kind, length, target) in enumerate(np.frombuffer(start, entry, count, first).tolist()):
            dtype = _TYPES.get(kind)
            if tag not in _KNOWN_TAGS or dtype is None or not length:
                continue
            size = length * dtype.itemsize
            at = target if size > pointer else first + (index + 1) * entry.itemsize - pointer
            if at + size > len(start):
                if tag != Tag.METADATA:
                    return int(at + size)
                values[Tag.METADATA_RANGE] = np.array([at, size])  # GDAL may write it at the end of a file
                continue
            values[tag] = np.frombuffer(start, dtype, length, at)
        directories.append(values)
        offset = _integer(start, after, pointer)
    return 0 if offset or not directories else directories


def end_of_blocks(directories: Sequence[Directory]) -> int:
    """Return the number of bytes that a file needs to hold all its blocks."""
    ends = [0]
    for image in directories:
        for offsets, sizes in ((Tag.TILE_OFFSETS, Tag.TILE_SIZES), (Tag.STRIP_OFFSETS, Tag.STRIP_SIZES)):
            if offsets in image and sizes in image and len(image[offsets]) == len(image[sizes]):
                written = image[sizes] > 0
                ends += (image[offsets][written].astype(object) + image[sizes][written]).tolist()
    return int(max(ends))


def _integer(start: bytes, at: int, size: int) -> int:
    """Read a little-endian integer; return 0 beyond the last byte."""
    return int.from_bytes(start[at : at + size], "little")
