"""Interpret the tags of a GeoTIFF: its header, and the positions of the blocks of each level (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from ardcube.raster.header import Header, Level, usable_nodata
from ardcube.raster.levels import overview_method
from ardcube.raster.object_store import UnsupportedFileError
from ardcube.raster.tiff import Directory, Tag

_DEFLATE, _NONE = (8, 32946), 1
"""Values of the compression tag."""
_DIFFERENCES = 2
"""Value of the predictor tag: horizontal differences."""
_UNSIGNED, _SIGNED = 1, 2
"""Values of the sample format tag."""
_DTYPES = {(_UNSIGNED, 8): "uint8", (_UNSIGNED, 16): "uint16", (_SIGNED, 16): "int16"}
"""Data types by sample format and bits."""
_REDUCED, _MASK = 1, 4
"""Bits of the subfile type of an overview and of a mask."""
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072
"""Keys of GeoTIFF 1.1."""
_PIXEL_IS_AREA = 1
_USER_DEFINED = 32767
"""Value of a CRS without a code."""
_METADATA_ITEM = re.compile(r'<Item name="(\w+)"([^>]*)>([^<]*)<')
"""An item of GDAL's metadata: name, further attributes, text."""


@dataclass(frozen=True, slots=True)
class CogLevel:
    """Positions and compression of the blocks of one level."""

    offsets: NDArray[np.int64]
    """Bytes from the file's start (row, column of blocks)."""
    sizes: NDArray[np.int64]
    """Bytes (row, column of blocks); 0 for a block that was never written."""
    deflated: bool
    predicted: bool
    """Whether blocks hold horizontal differences (predictor 2)."""

    def equals(self, other: CogLevel) -> bool:
        """Return whether both have the same blocks."""
        same = (self.deflated, self.predicted) == (other.deflated, other.predicted)
        return same and np.array_equal(self.offsets, other.offsets) and np.array_equal(self.sizes, other.sizes)


def header_and_layout(directories: Sequence[Directory]) -> tuple[Header, tuple[CogLevel, ...]]:
    """Return the header of a file, and the positions of the blocks of each of its levels.

    Parameters
    ----------
    directories : sequence of Directory
        Values by tag: of the full resolution, then of the other images of the file.

    Raises
    ------
    UnsupportedFileError
        If the block reader does not support the file.
    """
    full, *others = directories
    try:
        kinds = [_number(image, Tag.SUBFILE_TYPE, 0) for image in others]
        if any(kind & _MASK for kind in kinds):
            raise UnsupportedFileError("a mask")
        images = [full, *(image for image, kind in zip(others, kinds, strict=True) if kind == _REDUCED)]
        layout = tuple(_layout(image) for image in images)
        if len({_dtype(image) for image in images}) != 1:
            raise UnsupportedFileError("overviews of another data type")
        return _header(images), layout
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise UnsupportedFileError(f"tags that do not fit together: {error!r}") from error


def _layout(image: Directory) -> CogLevel:
    """Return the positions of an image's blocks, if this reader supports the image."""
    compression, predictor = _number(image, Tag.COMPRESSION, _NONE), _number(image, Tag.PREDICTOR, 1)
    if compression not in (*_DEFLATE, _NONE) or predictor not in (1, _DIFFERENCES):
        raise UnsupportedFileError(f"compression {compression}, predictor {predictor}")
    samples, bits, kind = (_number(image, tag, 1) for tag in (Tag.SAMPLES, Tag.BITS, Tag.SAMPLE_FORMAT))
    (height, width), block = _shape(image)
    if samples != 1 or (kind, bits) not in _DTYPES or not all(block):
        raise UnsupportedFileError(f"{samples} samples of {bits} bits, format {kind}, or no tiles")
    shape = -(-height // block[0]), -(-width // block[1])
    offsets, sizes = (image[tag].astype(np.int64).reshape(shape) for tag in (Tag.TILE_OFFSETS, Tag.TILE_SIZES))
    if min(offsets.min(), sizes.min()) < 0:
        raise UnsupportedFileError("block offsets beyond any file size")
    return CogLevel(offsets, sizes, compression in _DEFLATE, predictor == _DIFFERENCES)


def _header(images: Sequence[Directory]) -> Header:
    full = images[0]
    keys, scale, tie = _geo_keys(full), _numbers(full, Tag.PIXEL_SCALE), _numbers(full, Tag.TIE_POINT)
    code = keys.get(_PROJECTED) or keys.get(_GEOGRAPHIC)
    if not code or code == _USER_DEFINED or not scale or min(scale[:2]) <= 0 or tie[:3] != [0.0] * 3 or tie[6:]:
        raise UnsupportedFileError("no plain georeference")
    if keys.get(_RASTER_TYPE) != _PIXEL_IS_AREA:
        raise UnsupportedFileError("pixel is point")
    base = Affine(scale[0], 0.0, tie[3], 0.0, -scale[1], tie[4])
    (full_height, full_width), _ = _shape(full)
    levels, about = [], _metadata(full)
    for index, image in enumerate(images):
        (height, width), block = _shape(image)
        shrunk = Affine.scale(full_width / width, full_height / height)
        method = overview_method(about, _metadata(image)) if index else ""
        levels.append(Level(index, height, width, base @ shrunk, block, method))
    dtype = _dtype(full)
    return Header(f"EPSG:{code}", dtype, usable_nodata(_nodata(full), dtype), tuple(levels))


def _dtype(image: Directory) -> str:
    return _DTYPES[_number(image, Tag.SAMPLE_FORMAT, _UNSIGNED), _number(image, Tag.BITS, 1)]


def _shape(image: Directory) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return height and width of an image and of its blocks; 0 if a tag is missing."""
    size = _number(image, Tag.HEIGHT, 0), _number(image, Tag.WIDTH, 0)
    return size, (_number(image, Tag.TILE_HEIGHT, 0), _number(image, Tag.TILE_WIDTH, 0))


def _geo_keys(image: Directory) -> dict[int, int]:
    """Return the GeoTIFF keys whose value is one number. Each key has four numbers, and so has the header."""
    keys = np.reshape(_numbers(image, Tag.GEO_KEYS), (-1, 4))[1:]
    return {key: value for key, location, _, value in keys.tolist() if location == 0}


def _metadata(image: Directory) -> dict[str, str]:
    """Return GDAL's metadata of an image: text by name."""
    xml = image[Tag.METADATA].tobytes().decode(errors="replace") if Tag.METADATA in image else ""
    items = sorted(_METADATA_ITEM.findall(xml), key=lambda item: "IMAGE_STRUCTURE" in item[1])  # has precedence
    return {name: text for name, _, text in items}


def _nodata(image: Directory) -> float | None:
    """Return the declared number; 0 for a text that is no number, as GDAL does."""
    text = image[Tag.NODATA].tobytes().partition(b"\0")[0] if Tag.NODATA in image else b""
    try:
        return float(text) if text else None
    except ValueError:
        return 0.0


def _number(image: Directory, tag: Tag, default: int) -> int:
    return int(image[tag][0]) if tag in image else default


def _numbers(image: Directory, tag: Tag) -> list[Any]:
    return image[tag].tolist() if tag in image else []
