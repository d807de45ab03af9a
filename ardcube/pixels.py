"""Decoded pixels of a raster: bands of one grid, side by side, as the resampler wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ardcube.compiled import COMPILED
from ardcube.raster import Blocks

LANES = 4
"""Bands that are resampled together: as many as share one vector register."""
HOLE_CELL = 32
"""Side, in pixels, of the cells of which it is known whether data is missing in them; a power of two."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of pixels of one band."""

    row: int
    """First row, in pixels of the level."""
    column: int
    values: NDArray[Any]
    """Digital numbers (row, column), or their differences."""
    predicted: bool = False
    """Whether `values` are differences along the rows (TIFF's predictor 2)."""

    def summed(self) -> NDArray[Any]:
        """Digital numbers, in any case."""
        if not self.predicted:
            return self.values
        return np.add.accumulate(self.values, axis=1, dtype=self.values.dtype)


class Part(Protocol):
    """What was fetched of one band, perhaps not yet decoded."""

    @property
    def size(self) -> int:
        """Bytes that were fetched."""
        ...

    def pieces(self) -> Iterator[Piece]:
        """Decode piece by piece; parts of the same blocks and the same reader come in the same pieces.

        Raises
        ------
        TransientError
            If a piece is damaged, as it is after a transfer that went wrong.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourcePixels:
    """Digital numbers of a window of one level."""

    values: NDArray[Any]
    """(row, column, lane): one lane, or four, of which the last repeat the first band where there are fewer."""
    row: int
    """First row, in pixels of the level."""
    column: int
    nodata: int
    """A digital number that is no data, besides 0."""
    holes: NDArray[np.bool_]
    """(row, column) of cells of `HOLE_CELL` pixels: whether data is missing in a cell. Of no size where nobody asks, as
    for nearest pixels."""

    @classmethod
    def of(cls, values: NDArray[Any], row: int, column: int, nodata: int, *, find_holes: bool = True) -> SourcePixels:
        """Take values as they are."""
        holes = _holes(values, nodata) if find_holes else np.zeros((0, 0), bool)
        return cls(values, row, column, nodata, holes)

    @classmethod
    def decode(
        cls, parts: Sequence[Part], blocks: Blocks, dtype: str, nodata: int, *, find_holes: bool = True
    ) -> SourcePixels:
        """Decode the window of `blocks` of up to `LANES` bands.

        Raises
        ------
        TransientError
            If a block is damaged.
        """
        lanes = 1 if len(parts) == 1 else LANES
        top, bottom = blocks.row, blocks.row + blocks.height
        left, right = blocks.column, blocks.column + blocks.width
        values = np.empty((blocks.height, blocks.width, lanes), dtype)
        if not blocks.filled:
            values[:] = 0  # nothing is asked of a block that is not needed, but holes are looked for in all of them
        for pieces in zip(*(part.pieces() for part in parts), strict=True):
            first = pieces[0]
            height, width = first.values.shape
            rows = slice(max(top, first.row), min(bottom, first.row + height))
            cols = slice(max(left, first.column), min(right, first.column + width))
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            within = slice(rows.start - first.row, rows.stop - first.row)
            predicted = all(piece.predicted for piece in pieces)
            bands = [piece.values[within] if predicted else piece.summed()[within] for piece in pieces]
            bands += bands[:1] * (lanes - len(bands))
            target = values[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
            _weave(bands, predicted, cols.start - first.column, target)
        return cls.of(values, top, left, nodata, find_holes=find_holes)


def _weave(bands: Sequence[NDArray[Any]], predicted: bool, skip: int, target: NDArray[Any]) -> None:
    """Copy bands (row, column), from column `skip` on, into (row, column, lane); undo the predictor."""
    if COMPILED:
        from ardcube import kernels  # numba takes a second to import

        if len(bands) == 1:
            kernels.add_up(bands[0], predicted, skip, target[..., 0])
        else:
            one, two, three, four = bands
            kernels.weave(one, two, three, four, predicted, skip, target)
        return
    for lane, band in enumerate(bands):
        summed = np.add.accumulate(band, axis=1, dtype=band.dtype) if predicted else band
        target[..., lane] = summed[:, skip : skip + target.shape[1]]


def _holes(values: NDArray[Any], nodata: int) -> NDArray[np.bool_]:
    height, width, _ = values.shape
    found = np.zeros((-(-height // HOLE_CELL), -(-width // HOLE_CELL)), bool)
    if COMPILED:
        from ardcube import kernels  # numba takes a second to import

        held = nodata if nodata <= np.iinfo(values.dtype).max else 0  # an item may declare what its file cannot hold
        kernels.find_holes(values, values.dtype.type(held), found)
        return found
    hole = ((values == 0) | (values == nodata)).any(axis=2)
    rows, cols = (np.arange(0, size, HOLE_CELL) for size in (height, width))
    grown: NDArray[np.bool_] = np.logical_or.reduceat(np.logical_or.reduceat(hole, rows, axis=0), cols, axis=1)
    return grown
