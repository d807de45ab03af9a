"""Decode the fetched bands of one grid into a window of pixels with interleaved bands, as the resampler reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import TransientError
from ardcube.kernels.layout import HOLE_CELL, LANES
from ardcube.raster.conversion import BIAS, Conversion, dtype_as_read
from ardcube.raster.header import Blocks


@dataclass(frozen=True, slots=True)
class DecodedBlock:
    """A decoded block of one band, or a larger rectangle of pixels."""

    row: int
    """First row, in pixels of the level."""
    column: int
    """First column, in pixels of the level."""
    values: NDArray[Any]
    """Digital numbers (row, column), or differences between them."""
    predicted: bool = False
    """Whether `values` are differences along the rows (TIFF's predictor 2)."""

    def digital_numbers(self) -> NDArray[Any]:
        """Return the digital numbers (row, column), with the predictor undone."""
        if not self.predicted:
            return self.values
        return np.add.accumulate(self.values, axis=1, dtype=self.values.dtype)


class FetchedBand(Protocol):
    """The fetched blocks of one band, decoded or still compressed."""

    @property
    def size(self) -> int:
        """Number of fetched bytes."""
        ...

    def decode(self) -> Iterator[DecodedBlock]:
        """Decode block by block, and release the fetched bytes on the way.

        Bands that one reader fetched for the same `Blocks` give blocks of the same shape.

        Raises
        ------
        TransientError
            If a block is damaged and another attempt may succeed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the digital numbers of a file are read."""

    nodata: int
    """Digital number as it is read that means no data, in addition to 0."""
    shift: float = 0.0
    """Added to each valid digital number, to convert it to the offset of the cube's reflectance. It is rounded to
    0.001, so that ties are exact; the sum is rounded half to even."""
    also: int = 0
    """A second such number, if the file and its item state different ones; it is replaced by 0 when it is decoded."""
    conversion: Conversion | None = None
    """How each valid digital number is converted after it was resampled, instead of a shift; None for a shift."""

    @classmethod
    def of(
        cls,
        declared: int | None,
        stated: int | None,
        shift: float = 0.0,
        *,
        dtype: str = "uint16",
        conversion: Conversion | None = None,
    ) -> Encoding:
        """Return the encoding of a file that declares one nodata value and whose item states another; both count.

        0 is no data as well. Of a signed file it is data if the file declares another number: GDAL reads blocks that
        were never written as 0 if it declares none.

        Parameters
        ----------
        declared, stated : int or None
            Digital numbers of the file, in its own data type.
        shift : float
            Added to each valid digital number.
        dtype : str
            Data type of the file.
        conversion : Conversion, optional
            Replaces the shift.
        """
        bias = BIAS.get(dtype, 0)
        known = {number for number in (declared, stated) if number is not None}
        known |= {0} if declared is None else set()
        numbers = sorted({number + bias for number in known if number >= -bias} - {0})
        return cls(numbers[0] if numbers else 0, shift, numbers[1] if len(numbers) > 1 else 0, conversion)


@dataclass(frozen=True, slots=True)
class SourcePixels:
    """Digital numbers of a window of one level."""

    values: NDArray[Any]
    """(row, column, lane) with one lane or four; after the last band, lanes repeat the first band."""
    blocks: Blocks
    """The window, and the level."""
    encoding: Encoding
    holes: NDArray[np.bool_]
    """Whether a cell of `HOLE_CELL` pixels misses data in a decoded pixel (row, column). Without size if holes were
    not looked for."""

    @classmethod
    def decode(
        cls, bands: Sequence[FetchedBand], blocks: Blocks, dtype: str, encoding: Encoding, *, find_holes: bool = True
    ) -> SourcePixels:
        """Decode the window of up to `LANES` bands.

        Parameters
        ----------
        bands : sequence of FetchedBand
            Fetched for `blocks`.
        blocks : Blocks
            The window and its needed blocks. Pixels of other blocks are 0 or undefined.
        dtype : str
            Data type of the headers of all bands. Numbers of a signed one get a bias, and are unsigned.
        encoding : Encoding
            Of all bands.
        find_holes : bool
            Whether to look for missing data, which bilinear resampling requires.

        Raises
        ------
        TransientError
            If a block is damaged, or has another shape or data type than its header states.
        """
        lanes = 1 if len(bands) == 1 else LANES
        values = np.empty((blocks.height, blocks.width, lanes), dtype_as_read(dtype))
        if not blocks.all_needed:
            values.fill(0)  # no kernel reads a block that is not needed; if one did, it would find no data
        cells = (-(-blocks.height // HOLE_CELL), -(-blocks.width // HOLE_CELL)) if find_holes else (0, 0)
        window = cls(values, blocks, encoding, np.zeros(cells, bool))
        for same_block in zip(*(band.decode() for band in bands), strict=True):
            window._copy(same_block, np.dtype(dtype))
            del same_block  # frees the blocks before the next ones are decoded
        return window

    def _copy(self, bands: Sequence[DecodedBlock], stored: np.dtype[Any]) -> None:
        """Copy the part of a block that is in the window, and undo the predictor; check what the kernel does not."""
        first, blocks, dtype = bands[0], self.blocks, self.values.dtype
        height, width = first.values.shape
        if any((b.row, b.column, *b.values.shape) != (first.row, first.column, height, width) for b in bands):
            raise TransientError("its bands have blocks of different shapes: a file was replaced while it was read")
        if any(band.values.dtype != stored for band in bands):
            raise TransientError(f"it holds {[str(band.values.dtype) for band in bands]}, not {stored}")
        top, bottom = max(blocks.row, first.row), min(blocks.row + blocks.height, first.row + height)
        left, right = max(blocks.column, first.column), min(blocks.column + blocks.width, first.column + width)
        if top >= bottom or left >= right:
            return
        if stored != dtype:
            bands = [_with_bias(band, dtype) for band in bands]
        rows = slice(top - first.row, bottom - first.row)
        predicted, also = all(band.predicted for band in bands), self.encoding.also
        if also:
            bands = [DecodedBlock(b.row, b.column, _without(also, b.digital_numbers())) for b in bands]
            predicted = False
        # Copies only if a reader returns rows with gaps.
        planes = [np.ascontiguousarray((b.values if predicted else b.digital_numbers())[rows]) for b in bands]
        planes += planes[:1] * (self.values.shape[2] - len(planes))
        # An item may declare a nodata value that its file's data type cannot hold.
        nodata = dtype.type(self.encoding.nodata if self.encoding.nodata <= np.iinfo(dtype).max else 0)
        from ardcube.kernels import interleave  # numba takes a second to import

        copy = interleave.copy_band if len(planes) == 1 else interleave.interleave_bands
        copy(
            *planes, predicted, left - first.column, right - left, self.values, top - blocks.row, left - blocks.column,
            nodata, self.holes,
        )  # fmt: skip


def _with_bias(block: DecodedBlock, dtype: np.dtype[Any]) -> DecodedBlock:
    """Return the numbers of a signed block as unsigned ones of the same order; differences stay differences."""
    values = block.values.astype(dtype)  # modulo 2^16
    values[:, : 1 if block.predicted else None] ^= dtype.type(1 << (8 * dtype.itemsize - 1))
    return DecodedBlock(block.row, block.column, values, block.predicted)


def _without(number: int, values: NDArray[Any]) -> NDArray[Any]:
    """Replace a digital number by 0."""
    return np.where(values == number, values.dtype.type(0), values)
