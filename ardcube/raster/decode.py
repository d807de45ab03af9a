"""Decoded pixels of a raster: bands of one grid, side by side, as the resampler wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import TransientError
from ardcube.kernels.layout import HOLE_CELL, LANES
from ardcube.raster.header import Blocks


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
    """(row, column) of cells of `HOLE_CELL` pixels: whether data is missing in what was decoded of a cell. Of no
    size if the window is resampled nearest, which needs no holes."""

    @classmethod
    def decode(
        cls, parts: Sequence[Part], blocks: Blocks, dtype: str, nodata: int, *, find_holes: bool = True
    ) -> SourcePixels:
        """Decode the window of `blocks` of up to `LANES` bands.

        Raises
        ------
        TransientError
            If a block is damaged, or pieces are of another shape or data type than the file was said to have.
        """
        lanes = 1 if len(parts) == 1 else LANES
        top, bottom = blocks.row, blocks.row + blocks.height
        left, right = blocks.column, blocks.column + blocks.width
        values = np.empty((blocks.height, blocks.width, lanes), dtype)
        if not blocks.filled:
            values.fill(0)  # nothing is asked of a block that is not needed; should it be, that is no data
        cells = (-(-blocks.height // HOLE_CELL), -(-blocks.width // HOLE_CELL)) if find_holes else (0, 0)
        window = cls(values, top, left, nodata, np.zeros(cells, bool))
        for pieces in zip(*(part.pieces() for part in parts), strict=True):
            first = pieces[0]
            height, width = first.values.shape
            # What is compiled looks at no bound.
            if any((p.row, p.column, *p.values.shape) != (first.row, first.column, height, width) for p in pieces):
                raise TransientError("its bands are cut differently: a file was replaced while it was read")
            if any(piece.values.dtype != values.dtype for piece in pieces):
                raise TransientError(f"it holds {[str(piece.values.dtype) for piece in pieces]}, not {values.dtype}")
            rows = slice(max(top, first.row), min(bottom, first.row + height))
            cols = slice(max(left, first.column), min(right, first.column + width))
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            within = slice(rows.start - first.row, rows.stop - first.row)
            predicted = all(piece.predicted for piece in pieces)
            bands = [piece.values[within] if predicted else piece.summed()[within] for piece in pieces]
            bands = [np.ascontiguousarray(band) for band in bands]  # as they are, unless a reader gives something else
            bands += bands[:1] * (lanes - len(bands))
            window._place(bands, predicted, rows, cols, cols.start - first.column)
        return window

    def _place(self, bands: Sequence[NDArray[Any]], predicted: bool, rows: slice, cols: slice, skip: int) -> None:
        """Copy bands (row, column), from column `skip` on, to a place of the window; undo the predictor."""
        top, left, width = rows.start - self.row, cols.start - self.column, cols.stop - cols.start
        from ardcube.kernels import interleave  # numba takes a second to import

        # An item may declare a nodata value that its file's data type cannot hold.
        nodata = self.values.dtype.type(self.nodata if self.nodata <= np.iinfo(self.values.dtype).max else 0)
        place = interleave.place_one if len(bands) == 1 else interleave.place_four
        place(*bands, predicted, skip, width, self.values, top, left, nodata, self.holes)
