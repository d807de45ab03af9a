"""Raster files for tests of the readers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.windows import Window

from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.header import Blocks, Level
from ardcube.raster.open import Raster

ORIGIN = Affine(10.0, 0.0, 499_980.0, 0.0, -10.0, 5_100_000.0)
TILED = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "predictor": 2}
STRIPED = {"compress": "deflate", "predictor": 2}


def pixels(height: int = 301, width: int = 255, dtype: str = "uint16") -> NDArray[Any]:
    """Return digital numbers (row, column) with a few zeros; odd sizes make an overview's ratio no power of two."""
    rng = np.random.default_rng(0)
    low, high = {"int16": (-12_000, 32_767), "uint16": (1, 10_000)}.get(dtype, (1, 250))
    values = rng.integers(low, high, (height, width))
    return np.where(rng.random(values.shape) < 0.02, 0, values).astype(dtype)


def write(
    file: Path, values: NDArray[Any], *, overviews: bool = True, layout: dict[str, Any] | None = None, **profile: Any
) -> Path:
    """Write a GeoTIFF, by default tiled and deflated with three overviews."""
    profile = {"crs": "EPSG:32633", "transform": ORIGIN} | (TILED if layout is None else layout) | profile
    height, width = values.shape
    with rasterio.open(
        file, "w", driver="GTiff", count=1, dtype=values.dtype, height=height, width=width, **profile
    ) as target:
        target.write(values, 1)
        if overviews:
            target.build_overviews([2, 4, 8], Resampling.average)
    return file


def write_cog(file: Path, values: NDArray[Any], *, nodata: int | None = None, **options: Any) -> Path:
    """Write a cloud-optimized GeoTIFF: every header before every block."""
    plain = write(file.with_suffix(".plain.tif"), values, overviews=False, nodata=nodata)
    options = {"compress": "deflate", "predictor": "yes", "blocksize": 128} | options
    copy(plain, file, driver="COG", **options)
    plain.unlink()
    return file


def write_jpeg_2000(file: Path, values: NDArray[Any]) -> Path:
    """Write a lossless JPEG 2000 file."""
    height, width = values.shape
    with rasterio.open(
        file, "w", driver="JP2OpenJPEG", count=1, dtype=values.dtype, height=height, width=width, crs="EPSG:32633",
        transform=ORIGIN, QUALITY=100, REVERSIBLE="YES",
    ) as target:  # fmt: skip
        target.write(values, 1)
    return file


def write_sparse(file: Path, values: NDArray[Any], **profile: Any) -> Path:
    """Write one block of a file; its other blocks are absent."""
    height, width = values.shape
    with rasterio.open(
        file, "w", driver="GTiff", count=1, dtype=values.dtype, height=height, width=width,
        crs="EPSG:32633", transform=ORIGIN, sparse_ok=True, **TILED, **profile,
    ) as target:  # fmt: skip
        target.write(values[128:256, 0:128], 1, window=Window(0, 128, 128, 128))
    return file


def read(raster: Raster, level: Level, needed: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """Read a whole level, or the window around its needed blocks, as a chunk does."""
    needed = np.ones(level.block_grid, bool) if needed is None else needed
    blocks = around(level, needed)
    header = raster.header
    source = SourcePixels.decode(
        [raster.fetch(blocks)], blocks, header.dtype, Encoding.of(header.nodata, None, dtype=header.dtype)
    )
    values: NDArray[Any] = source.values[..., 0]
    return values


def around(level: Level, needed: NDArray[np.bool_]) -> Blocks:
    """Return the window of whole blocks around the needed blocks."""
    rows, columns = np.flatnonzero(needed.any(axis=1)), np.flatnonzero(needed.any(axis=0))
    height, width = level.block
    row, column = int(rows[0]) * height, int(columns[0]) * width
    bottom, right = min(level.height, int(rows[-1] + 1) * height), min(level.width, int(columns[-1] + 1) * width)
    return Blocks(level, needed, row, column, bottom - row, right - column)


def damage(file: Path, level: int = 0, block: tuple[int, int] = (0, 0)) -> Path:
    """Overwrite the compressed bytes of one block with zeros."""
    from ardcube.raster.cog import Cog

    layout = Cog.open(str(file)).layout[level]
    with file.open("r+b") as stream:
        stream.seek(int(layout.offsets[block]))
        stream.write(bytes(int(layout.sizes[block])))
    return file


def retag(file: Path, directory: int, tag: int, value: int) -> Path:
    """Change a tag with one 16-bit value in a directory of a little-endian, classic TIFF."""
    content = bytearray(file.read_bytes())
    (offset,) = struct.unpack_from("<I", content, 4)
    for _ in range(directory):
        (count,) = struct.unpack_from("<H", content, offset)
        (offset,) = struct.unpack_from("<I", content, offset + 2 + 12 * count)
    (count,) = struct.unpack_from("<H", content, offset)
    entries = range(offset + 2, offset + 2 + 12 * count, 12)
    (found,) = (entry for entry in entries if struct.unpack_from("<HHI", content, entry) == (tag, 3, 1))
    struct.pack_into("<H", content, found + 8, value)
    file.write_bytes(content)
    return file
