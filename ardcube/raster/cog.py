"""Read tiled, deflated GeoTIFFs block by block: obstore fetches byte ranges, libdeflate inflates them.

GDAL reads all other compressions, layouts, data types and filesystems; see `ardcube.raster.open`. Blocks are not
cached, because a chunk reads each block once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import deflate
import numpy as np
import obstore
from affine import Affine
from numpy.typing import NDArray
from obstore.exceptions import BaseError

from ardcube.config import FileAccess
from ardcube.errors import SceneError, TransientError
from ardcube.raster.complete import read_complete
from ardcube.raster.decode import DecodedBlock
from ardcube.raster.header import Blocks, Header, Level, usable_nodata
from ardcube.raster.levels import overview_method
from ardcube.raster.object_store import UnsupportedFileError, explain_read, locate
from ardcube.raster.refusals import note_readable
from ardcube.raster.signing import SignedAddress, read_signed
from ardcube.raster.tiff import Directory, Tag
from ardcube.runtime.usage import count_requests, merged_ranges

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
_GAP_BYTES = 1_150_000
"""Bytes between two blocks up to which both come with one request: about a block, or a latency (0009)."""
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


@dataclass(frozen=True, slots=True)
class Cog:
    """A file whose header was read."""

    href: str
    header: Header
    layout: tuple[CogLevel, ...]
    access: FileAccess = "unsigned"
    decodes: ClassVar[bool] = False

    @classmethod
    def open(cls, href: str, access: FileAccess = "unsigned") -> Cog:
        """Read a header, usually with one request. GDAL reads files on S3, except for their length.

        Raises
        ------
        UnsupportedFileError
            If GDAL has to read the file.
        SceneError
            If the file is missing, empty or truncated.
        AccessError
            If access is refused.
        TransientError
            If the file cannot be read now.
        """
        directories = read_complete(href, access)
        if href.startswith("s3:"):
            raise UnsupportedFileError("no store for s3")
        full, *others = (_with_metadata(image, href, access) for image in directories)
        note_readable(href)
        try:
            kinds = [_number(image, Tag.SUBFILE_TYPE, 0) for image in others]
            if any(kind & _MASK for kind in kinds):
                raise UnsupportedFileError("a mask")
            images = [full, *(image for image, kind in zip(others, kinds, strict=True) if kind == _REDUCED)]
            layout = tuple(_layout(image) for image in images)
            if len({_dtype(image) for image in images}) != 1:
                raise UnsupportedFileError("overviews of another data type")
            return cls(href, _header(images), layout, access)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise UnsupportedFileError(f"tags that do not fit together: {error!r}") from error

    def fetch(self, blocks: Blocks) -> CogBand:
        """Fetch the compressed bytes of the needed blocks; blocks close to each other in the file share a request."""
        layout = self.layout[blocks.level.index]
        written = [index for index in blocks.indices if layout.sizes[index] > 0]
        starts = [int(layout.offsets[index]) for index in written]
        sizes = [int(layout.sizes[index]) for index in written]

        def fetch(signed: SignedAddress) -> Sequence[Any]:
            try:
                return _ranges(*locate(signed), starts, sizes)
            except BaseException as error:
                # obstore panics if an answer ends early, as when the file is replaced. Its class cannot be imported.
                if isinstance(error, (BaseError, OSError)) or type(error).__name__ == "PanicException":
                    raise explain_read(self.href, error) from error
                raise

        contents = read_signed(self.href, self.access, fetch) if starts else []
        return CogBand(self, blocks, dict(zip(written, contents, strict=True)))


@dataclass(frozen=True, slots=True)
class CogBand:
    """Compressed blocks of one level."""

    cog: Cog
    blocks: Blocks
    contents: Mapping[tuple[int, int], Any]
    """Bytes by row and column of blocks, without the blocks that were never written."""

    @property
    def size(self) -> int:
        """Number of fetched bytes."""
        return sum(len(content) for content in self.contents.values())

    def decode(self) -> Iterator[DecodedBlock]:
        """Decode block by block. A block that was never written is nodata.

        Raises
        ------
        SceneError
            If a block is damaged, and has the same bytes when it is fetched again.
        TransientError
            If the block has other bytes then, and is damaged again: the file is being replaced.
        """
        level = self.blocks.level
        predicted, dtype = self.cog.layout[level.index].predicted, np.dtype(self.cog.header.dtype)
        height, width = level.block
        for y, x in self.blocks.indices:
            content = self.contents.get((y, x))
            if content is None:
                values = np.zeros((height, width), dtype)
                values[:, : 1 if predicted else width] = self.cog.header.nodata or 0
            else:
                try:
                    values = self._decoded(content)
                except (deflate.DeflateError, ValueError):
                    values = self._fetched_again((y, x), content)
            yield DecodedBlock(y * height, x * width, values, predicted)

    def _decoded(self, content: Any) -> NDArray[Any]:
        level = self.blocks.level
        dtype, shape = np.dtype(self.cog.header.dtype).newbyteorder("<"), level.block
        if self.cog.layout[level.index].deflated:
            content = deflate.zlib_decompress(content, shape[0] * shape[1] * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape)

    def _fetched_again(self, index: tuple[int, int], before: Any) -> NDArray[Any]:
        """Fetch and decode a block whose bytes could not be decoded."""
        needed = np.zeros(self.blocks.level.block_grid, bool)
        needed[index] = True
        content = self.cog.fetch(replace(self.blocks, needed=needed)).contents[index]
        try:
            return self._decoded(content)
        except (deflate.DeflateError, ValueError) as error:
            kind = SceneError if bytes(content) == bytes(before) else TransientError
            raise kind(f"{self.cog.href} has a damaged block {index[0]}, {index[1]}: {error}") from error


def _ranges(store: Any, path: str, starts: list[int], sizes: list[int]) -> Sequence[Any]:
    contents = obstore.get_ranges(store, path, starts=starts, lengths=sizes, coalesce=_GAP_BYTES)
    count_requests(*merged_ranges(starts, sizes, _GAP_BYTES))
    return contents


def _range(store: Any, path: str, start: int, length: int) -> Any:
    content = obstore.get_range(store, path, start=start, length=length)
    count_requests(1, len(content))
    return content


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


def _with_metadata(image: Directory, href: str, access: FileAccess) -> Directory:
    """Return a directory with the metadata that GDAL wrote at the end of the file."""
    if Tag.METADATA_RANGE not in image:
        return image
    start, length = image[Tag.METADATA_RANGE].tolist()

    def fetch(signed: SignedAddress) -> bytes:
        try:
            return bytes(_range(*locate(signed), start, length))
        except (BaseError, OSError) as error:
            raise explain_read(href, error) from error

    return {**image, Tag.METADATA: np.frombuffer(read_signed(href, access, fetch), np.uint8)}


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
