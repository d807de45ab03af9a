"""Rasters cut into blocks, as a reader returns them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from ardcube.raster.decode import DecodedBlock, Encoding, SourcePixels
from ardcube.raster.header import Blocks, Level


@dataclass(frozen=True)
class DecodedBand:
    """A fetched band whose blocks are given."""

    blocks: Sequence[DecodedBlock]
    size: int = 0

    def decode(self) -> Iterator[DecodedBlock]:
        yield from self.blocks


def cut(raster: NDArray[Any], block: tuple[int, int], predicted: bool) -> list[DecodedBlock]:
    """Cut a raster (row, column) into blocks; the last row and column of blocks extend beyond it."""
    height, width = raster.shape
    rows, cols = -(-height // block[0]), -(-width // block[1])
    padded = np.pad(raster, [(0, rows * block[0] - height), (0, cols * block[1] - width)])
    blocks = []
    for y in range(0, rows * block[0], block[0]):
        for x in range(0, cols * block[1], block[1]):
            values = padded[y : y + block[0], x : x + block[1]]
            if predicted:
                values = np.diff(values, axis=1, prepend=values.dtype.type(0))
            blocks.append(DecodedBlock(y, x, values, predicted))
    return blocks


def one_block(row: int, column: int, height: int, width: int) -> Blocks:
    """Return the window of a level that has a single block."""
    level = Level(0, row + height, column + width, Affine.identity(), (row + height, column + width))
    return Blocks(level, np.ones((1, 1), bool), row, column, height, width)


def source_pixels(bands: NDArray[Any], blocks: Blocks, encoding: Encoding) -> SourcePixels:
    """Decode a window whose pixels (row, column, band) are given."""
    fetched = [
        DecodedBand([DecodedBlock(blocks.row, blocks.column, np.ascontiguousarray(bands[..., band]))])
        for band in range(bands.shape[2])
    ]
    return SourcePixels.decode(fetched, blocks, str(bands.dtype), encoding)
