"""Fetch and decode only the first rows of a block: how many rows and bytes that are, and how they are inflated.

`needed_ranges` returns the requests for the blocks of a level, also to the estimate of cost.

DEFLATE is a stream, so the first bytes of a block hold its first rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from isal import igzip_lib
from numpy.typing import NDArray

from ardcube.raster.header import Blocks, Level
from ardcube.raster.ranges import FIRST_BYTES, GAP_BYTES, UNEVEN, merged

_MOST = 0.87
"""Share of the rows of a block above which all rows are read. ISA-L then takes about as long for them as libdeflate for
all rows, and with `UNEVEN` all bytes are fetched anyway (0068)."""


def needed_rows(blocks: Blocks, row: int) -> int:
    """Return how many rows to read of each block of a row of blocks: all of them, except at the end of the window."""
    height = blocks.level.block[0]
    rows = max(1, min(height, blocks.row + blocks.height - row * height))
    return rows if rows <= _MOST * _rows_with_data(blocks.level, row) else height


def _rows_with_data(level: Level, row: int) -> int:
    """Return how many rows of a row of blocks are rows of the raster. Rows below them compress to nothing."""
    return min(level.block[0], level.height - row * level.block[0])


def bytes_of_rows(size: int, rows: int, height: int) -> int:
    """Return how many bytes of a block to fetch for its first rows; in most blocks, all rows take about as many.

    Parameters
    ----------
    size : int
        Bytes of the block.
    rows : int
        Needed rows.
    height : int
        Rows of the block that have data.
    """
    return size if rows >= height else min(size, math.ceil(size * rows / height * UNEVEN) + FIRST_BYTES)


def needed_ranges(blocks: Blocks, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the ranges of a file to request, in order: first byte, and first byte after.

    Parameters
    ----------
    blocks : Blocks
        Needed blocks.
    offsets, sizes : int64 (row, column of blocks)
        First byte and number of bytes of each block of the level; blocks of size 0 were never written.
    """
    starts, used = [], []
    for row, column in blocks.indices:
        size = int(sizes[row, column])
        if size > 0:
            starts.append(int(offsets[row, column]))
            used.append(bytes_of_rows(size, needed_rows(blocks, row), _rows_with_data(blocks.level, row)))
    return merged(starts, used, GAP_BYTES)


def inflate_first(content: Any, length: int, fetch_rest: Callable[[], Any]) -> bytes:
    """Return the first bytes of a deflated block.

    The checksum at the end of the stream is not compared.

    Parameters
    ----------
    content : bytes-like
        The deflated block, or its first bytes.
    length : int
        Decoded bytes to return; fewer are returned if the stream ends before.
    fetch_rest : callable
        Return the bytes of the block after `content`; called if those are not enough.

    Raises
    ------
    igzip_lib.error
        If the stream is damaged.
    """
    inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)  # libdeflate decodes complete streams only
    decoded = inflate.decompress(content, length)
    if len(decoded) < length and not inflate.eof:  # the first rows take more bytes than the last ones
        decoded += inflate.decompress(fetch_rest(), length - len(decoded))
    return decoded
