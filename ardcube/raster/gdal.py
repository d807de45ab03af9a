"""Read files that `ardcube.raster.cog` does not support through GDAL, with the same pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import rasterio
import rasterio.errors
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from ardcube.config import FileAccess
from ardcube.errors import SceneError, TransientError
from ardcube.extent.lattice import Lattice
from ardcube.raster.decode import DecodedBlock
from ardcube.raster.gdal_open import DamagedError, WithoutGeoreference, read_uncached, read_with_gdal
from ardcube.raster.header import DTYPES, Blocks, Header, Level, usable_nodata
from ardcube.raster.levels import WAVELET, PixelSize, overview_method, pixel_at


@dataclass(frozen=True, slots=True)
class GdalRaster:
    """A file whose header was read. GDAL opens the file again for each read."""

    href: str
    header: Header
    access: FileAccess
    mask_file: str = ""
    """Address of the mask file next to the file; empty if there is none."""
    masked_as: int | None = None
    """Number of masked pixels; by default the smallest of the data type, which is no data in reflectance."""
    decodes: ClassVar[bool] = True

    @classmethod
    def open(
        cls,
        href: str,
        access: FileAccess,
        *,
        lattice: Lattice | None = None,
        mask_file: str = "",
        skip_cache: bool = False,
    ) -> GdalRaster:
        """Read a header.

        Parameters
        ----------
        href : str
            Address of the file.
        access : FileAccess
            How the file may be read.
        lattice : Lattice, optional
            Of the cube. Overviews that are too coarse for it are left out, because GDAL opens the file again for each
            overview.
        mask_file : str
            Address of the mask file next to the file, if there is one.
        skip_cache : bool
            Whether to read the file without GDAL's cache.

        Raises
        ------
        SceneError
            If the file is missing, no raster of 8 or 16 bits, or not north up, or its mask file has another size.
        AccessError
            If access is refused.
        TransientError
            If the file cannot be read now.
        """
        if skip_cache:
            read_uncached(href)
        found = read_with_gdal(href, access, partial(_full, href), DatasetReader)
        full, dtype = found.level, found.dtype
        masked = found.masked or bool(mask_file)
        if dtype not in DTYPES:
            raise SceneError(f"{href} holds {dtype}, not {', '.join(DTYPES)}; its scene cannot be used")
        if mask_file:
            size = read_with_gdal(mask_file, access, lambda source: source.shape)
            if size != full.shape:
                raise SceneError(
                    f"{href} has {full.shape} pixels, and {mask_file} {size}; remove the mask file, or replace it"
                )
        header = Header(found.crs, dtype, usable_nodata(found.nodata, dtype), (full,), masked, found.samples)
        largest = PixelSize(math.inf, math.inf) if lattice is None else pixel_at(lattice, header)
        levels = [full]
        for index, ratio in enumerate([] if masked else found.ratios):
            # A ratio is rounded: the pixel of the overview may be smaller.
            if not largest.holds(replace(full, transform=full.transform @ Affine.scale(ratio - 1))):
                continue
            # The ratio of an overview is not an exact power of two for odd sizes: only the file knows its size.
            height, width, block, kind, method = read_with_gdal(
                href, access, partial(_overview, found), WithoutGeoreference, OVERVIEW_LEVEL=index
            )
            if kind != dtype:
                raise SceneError(f"{href} holds {dtype}, and {kind} in an overview; its scene cannot be used")
            transform = full.transform @ Affine.scale(full.width / width, full.height / height)
            levels.append(Level(index + 1, height, width, transform, block, method))
        return cls(href, replace(header, levels=tuple(levels)), access, mask_file)

    def fetch(self, blocks: Blocks) -> GdalBand:
        """Read and decode the window of `blocks`.

        Raises
        ------
        SceneError
            If a block is damaged, and is damaged again when it is read a second time.
        TransientError
            If the file cannot be read now.
        """
        try:
            return self._read(blocks)
        except DamagedError:
            pass
        try:
            return self._read(blocks)
        except DamagedError as error:
            raise SceneError(f"{error}; its file is damaged") from error

    def _read(self, blocks: Blocks) -> GdalBand:
        options = {} if blocks.level.index == 0 else {"OVERVIEW_LEVEL": blocks.level.index - 1}
        window = rasterio.windows.Window(blocks.column, blocks.row, blocks.width, blocks.height)
        no_data = np.iinfo(self.header.dtype).min if self.masked_as is None else self.masked_as

        def read(source: Any) -> NDArray[Any]:
            values: NDArray[Any] = source.read(1, window=window)
            if self.header.masked and values.dtype == self.header.dtype:  # honoured here, because blocks have no mask
                values[source.read_masks(1, window=window) == 0] = no_data
            return values

        values = read_with_gdal(self.href, self.access, read, WithoutGeoreference, **options)
        if values.shape != (blocks.height, blocks.width) or values.dtype != self.header.dtype:
            raise TransientError(f"{self.href} is another file than when its header was read")
        if self.mask_file:
            values[read_with_gdal(self.mask_file, self.access, lambda source: source.read(1, window=window)) == 0] = (
                no_data
            )
        return GdalBand(DecodedBlock(blocks.row, blocks.column, values))


@dataclass(frozen=True, slots=True)
class GdalBand:
    """A decoded window of one level."""

    window: DecodedBlock

    @property
    def size(self) -> int:
        """Number of decoded bytes, because GDAL does not report the number of fetched bytes."""
        return self.window.values.nbytes

    def decode(self) -> Iterator[DecodedBlock]:
        """Yield the window as one block."""
        yield self.window


@dataclass(frozen=True, slots=True)
class _Found:
    """Properties of a file, without those of its overviews."""

    level: Level
    crs: str
    nodata: float | None
    dtype: str
    masked: bool
    ratios: list[int]
    """Of overviews, rounded."""
    samples: int
    wavelets: bool
    about: dict[str, str]
    """Metadata."""


def _full(href: str, source: Any) -> _Found:
    if source.crs is None or source.transform.b or source.transform.d or source.transform.e >= 0:
        raise SceneError(f"{href} is not a north-up raster with a CRS; its scene cannot be used")
    code = source.crs.to_epsg()
    return _Found(
        level=Level(0, source.height, source.width, source.transform, source.block_shapes[0]),
        crs=f"EPSG:{code}" if code else source.crs.to_wkt(),
        nodata=source.nodata,
        dtype=source.dtypes[0],
        masked=MaskFlags.per_dataset in source.mask_flag_enums[0],  # also set for alpha
        ratios=source.overviews(1),
        samples=sum(color != ColorInterp.alpha for color in source.colorinterp),
        wavelets=source.driver.startswith("JP2"),
        about={**source.tags(), **source.tags(ns="IMAGE_STRUCTURE")},
    )


def _overview(found: _Found, source: Any) -> tuple[int, int, tuple[int, int], str, str]:
    """Return height, width, block, data type and method of an overview."""
    method = WAVELET if found.wavelets else overview_method(found.about, source.tags(1))
    return source.height, source.width, source.block_shapes[0], source.dtypes[0], method
