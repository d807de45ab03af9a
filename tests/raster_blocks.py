"""Rasters in pieces, as a reader hands them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.raster.decode import Piece, SourcePixels
from ardcube.raster.header import Blocks


@dataclass(frozen=True)
class Ready:
    """A part in pieces that are given."""

    ready: Sequence[Piece]
    size: int = 0

    def pieces(self) -> Iterator[Piece]:
        yield from self.ready


def cut(raster: NDArray[Any], block: tuple[int, int], predicted: bool) -> list[Piece]:
    """A raster (row, column) as its blocks; those at the edges reach beyond it."""
    height, width = raster.shape
    rows, cols = -(-height // block[0]), -(-width // block[1])
    padded = np.pad(raster, [(0, rows * block[0] - height), (0, cols * block[1] - width)])
    pieces = []
    for y in range(0, rows * block[0], block[0]):
        for x in range(0, cols * block[1], block[1]):
            values = padded[y : y + block[0], x : x + block[1]]
            if predicted:
                values = np.diff(values, axis=1, prepend=values.dtype.type(0))
            pieces.append(Piece(y, x, values, predicted))
    return pieces


def source_pixels(bands: NDArray[Any], row: int, column: int, nodata: int) -> SourcePixels:
    """Decode a window (row, column, band) of one block that begins at `row` and `column` of its level."""
    height, width, count = bands.shape
    window = Blocks(np.ones((1, 1), bool), row, column, height, width)
    parts = [Ready([Piece(row, column, np.ascontiguousarray(bands[..., band]))]) for band in range(count)]
    return SourcePixels.decode(parts, window, str(bands.dtype), nodata)
