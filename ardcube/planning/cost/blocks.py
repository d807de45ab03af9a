"""Bytes and requests that reading a window of a raster is expected to take, without its header (pure).

The position of a window among the blocks of a level is unknown, so that each is equally likely. Of the last row of
blocks only the first bytes are fetched (0066), and blocks that are close to each other in the file share a request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from ardcube.raster.ranges import FIRST_BYTES, GAP_BYTES, UNEVEN

_SMALLEST_BLOCK = 256
_FEWEST_BLOCKS = 4
"""Blocks that a raster has at least along its longer side, as far as they are not smaller than the smallest."""
_POSITIONS = 16
"""Positions of a window along an axis that are considered."""
_MOST_SKIPPED = 40
"""Blocks between two needed ones up to which a gap is considered."""


@dataclass(frozen=True, slots=True)
class LevelSize:
    """A level of a raster: its sizes in pixels, and its compressed bytes."""

    height: int
    width: int
    block: int
    """Side of a block."""
    bytes_per_pixel: float
    """Of the pixels that have data."""
    data: float = 1.0
    """Share of the pixels that have data."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes and requests that reading a file is expected to take."""

    received: float = 0.0
    """Bytes."""
    requests: float = 0.0


def block_of(usual: int, height: int, width: int) -> int:
    """Return the side of a block of a file in pixels: the usual one of its collection, or less in a small raster."""
    block = usual
    while block > _SMALLEST_BLOCK and block * _FEWEST_BLOCKS > max(height, width):
        block //= 2
    return block


def expected_reading(level: LevelSize, window: tuple[float, float], needed: float) -> Reading:
    """Return what reading the needed blocks under a window is expected to take.

    Parameters
    ----------
    level : LevelSize
        Level that is read.
    window : (float, float)
        Height and width of the window within the level, in its pixels.
    needed : float
        Probability that a block under the window is needed.
    """
    height, width = (min(math.ceil(of), most) for of, most in zip(window, (level.height, level.width), strict=True))
    if needed <= 0 or not height or not width:
        return Reading()
    block = level.block
    down, rows = _spans(height, level.height, block, first_rows=True)
    across, columns = _spans(width, level.width, block, first_rows=False)
    of_row = math.ceil(level.width / block)
    size = level.bytes_per_pixel * min(block, level.width) * min(block, level.height)
    used = needed * (level.bytes_per_pixel * rows * columns + across * min(FIRST_BYTES, size / 2))
    found = _with_gaps(used, (down, across), of_row, size, needed)
    most = level.bytes_per_pixel * level.data * rows * level.width + FIRST_BYTES
    return Reading(min(found.received, max(most, used)), found.requests)


@lru_cache(maxsize=4096)
def _spans(length: int, whole: int, block: int, *, first_rows: bool) -> tuple[float, float]:
    """Return the mean number of blocks that a window meets along an axis, and of their pixels that are fetched.

    Parameters
    ----------
    length, whole : int
        Pixels of the window and of the raster.
    block : int
        Pixels of a block.
    first_rows : bool
        Whether the last pixels of the last block are not fetched.
    """
    blocks = pixels = 0.0
    for position in range(_POSITIONS):
        start = (whole - length) * (position + 0.5) / _POSITIONS
        first, last = int(start // block), int((start + length - 1e-6) // block)
        end: float = min(whole, (last + 1) * block)
        if first_rows:
            end = min(end, last * block + UNEVEN * (start + length - last * block))
        blocks += last - first + 1
        pixels += end - first * block
    return blocks / _POSITIONS, pixels / _POSITIONS


def _with_gaps(used: float, blocks: tuple[float, float], of_row: int, size: float, needed: float) -> Reading:
    """Return a reading with the gaps that its requests contain.

    Parameters
    ----------
    used : float
        Bytes of the needed blocks.
    blocks : (float, float)
        Rows and columns of blocks under the window.
    of_row : int
        Blocks in a row of the raster.
    size : float
        Bytes of a block.
    needed : float
        Probability that a block under the window is needed.
    """
    down, across = blocks
    candidates, outside = down * across, max(0.0, of_row - across)
    fewest = 1 - (1 - needed) ** candidates
    count = max(needed * candidates, fewest)
    if count <= fewest:
        return Reading(used, fewest)
    joined = gap_bytes = 0.0
    for skipped in range(min(_MOST_SKIPPED, int(candidates)) + 1):
        probable = needed * (1 - needed) ** skipped
        crossing = min(1.0, (skipped + 1) / across) * (down > 1)
        rows = max(1, round((skipped + 1) / across))
        for share, gap in (((1 - crossing), skipped * size), (crossing, (skipped + outside * rows) * size)):
            if gap <= GAP_BYTES:
                joined += share * probable
                gap_bytes += share * probable * gap
    pairs = count - fewest
    return Reading(used + pairs * gap_bytes, max(fewest, count - pairs * joined))
