"""Reading tiled, deflated GeoTIFFs block by block: ranges from obstore, inflated by libdeflate.

What it does not read (other compressions, layouts, data types, filesystems) is left to GDAL; see `ardcube.raster.open`.
Nothing here is cached but headers: a block is wanted once per chunk.
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
from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError

from ardcube.errors import SceneError, TransientError
from ardcube.raster.decode import Piece
from ardcube.raster.header import Blocks, Header, Level, usable_nodata
from ardcube.raster.object_store import NotThisKindError, is_empty, locate
from ardcube.raster.tiff import Directory, Tag, is_little_endian, read_directories

_DEFLATE, _NONE = (8, 32946), 1
_DIFFERENCES = 2
"""Of a predictor: each number is told as its difference to the one before."""
_UNSIGNED = 1
_REDUCED = 1
"""Of `SUBFILE_TYPE`: an overview; masks have other bits."""
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072
"""Keys of GeoTIFF 1.1."""
_PIXEL_IS_AREA = 1
_OWN_CRS = 32767
"""A CRS without a code."""
_HEADER_BYTES = (32_768, 1_048_576)
"""First request of a file, which holds the whole header of a granule of 10,980 pixels; a second one, if it does not."""
_GAP_BYTES = 1_150_000
"""Bytes between blocks that are read rather than asked for anew: about a block, and what comes within a latency."""
_LASTING = re.compile(r"status code: 410\b|\(os error 20\)")
"""What is said where another try would say the same, of errors without a type: gone; a folder that is a file."""


@dataclass(frozen=True, slots=True)
class CogLevel:
    """Where the blocks of one level lie in the file."""

    offsets: NDArray[np.int64]
    """By row and column of blocks."""
    sizes: NDArray[np.int64]
    """In bytes; 0 for a block that was never written."""
    deflated: bool
    predicted: bool
    """Horizontal differences (predictor 2)."""


@dataclass(frozen=True, slots=True)
class Cog:
    """An open file: nothing but its header is held."""

    href: str
    header: Header
    store: Any
    path: str
    layout: tuple[CogLevel, ...]
    decodes: ClassVar[bool] = False

    @classmethod
    def open(cls, href: str) -> Cog:
        """Read a header with one request.

        Raises
        ------
        NotThisKindError
            If GDAL has to read the file.
        SceneError, TransientError
            If the file is missing or forbidden; if it could not be reached this time.
        """
        store, path = locate(href)
        full, *others = _directories_of(href, store, path)
        try:
            images = [full, *(each for each in others if _number(each, Tag.SUBFILE_TYPE, 0) == _REDUCED)]
            layout = tuple(_layout(image) for image in images)
            if len({_number(image, Tag.BITS, 1) for image in images}) != 1:
                raise NotThisKindError("overviews of another data type")
            return cls(href, _header(images), store, path, layout)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise NotThisKindError(f"tags that do not fit together: {error!r}") from error

    def fetch(self, level: Level, blocks: Blocks) -> Fetched:
        """Fetch the compressed bytes of the needed blocks.

        Blocks that lie close to each other in the file come with one request.
        """
        layout = self.layout[level.index]
        wanted = [place for place in blocks.places if layout.sizes[place] > 0]
        starts = [int(layout.offsets[place]) for place in wanted]
        sizes = [int(layout.sizes[place]) for place in wanted]
        try:
            parts = _ranges(self.store, self.path, starts, sizes) if starts else []
        except BaseException as error:
            # An answer that ends early, of a file cut short since, is a panic of obstore, whose class has no address.
            if isinstance(error, (BaseError, OSError)) or type(error).__name__ == "PanicException":
                raise _explain(self.href, error) from error
            raise
        return Fetched(self, level, blocks, dict(zip(wanted, parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Fetched:
    """Compressed blocks of one level."""

    cog: Cog
    level: Level
    blocks: Blocks
    contents: Mapping[tuple[int, int], Any]
    """By row and column of blocks; a block that was never written is missing."""

    @property
    def size(self) -> int:
        """Bytes that were fetched."""
        return sum(len(content) for content in self.contents.values())

    def pieces(self) -> Iterator[Piece]:
        """Decode block by block; one that was never written is nodata.

        Raises
        ------
        SceneError
            If a block is damaged, and is the same when it is fetched once more.
        TransientError
            If it is another one then, and damaged as well: the file is being replaced.
        """
        layout = self.cog.layout[self.level.index]
        dtype = np.dtype(self.cog.header.dtype)
        height, width = self.level.block
        for y, x in self.blocks.places:
            content = self.contents.get((y, x))
            if content is None:
                values = np.zeros((height, width), dtype)
                values[:, : 1 if layout.predicted else width] = self.cog.header.nodata
                yield Piece(y * height, x * width, values, layout.predicted)
                continue
            try:
                values = self._decoded(content)
            except (deflate.DeflateError, ValueError):
                values = self._again((y, x), content)
            yield Piece(y * height, x * width, values, layout.predicted)

    def _decoded(self, content: Any) -> NDArray[Any]:
        dtype, shape = np.dtype(self.cog.header.dtype).newbyteorder("<"), self.level.block
        if self.cog.layout[self.level.index].deflated:
            content = deflate.zlib_decompress(content, shape[0] * shape[1] * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape)

    def _again(self, place: tuple[int, int], before: Any) -> NDArray[Any]:
        """A block that could not be decoded, fetched once more."""
        needed = np.zeros(self.level.blocks, bool)
        needed[place] = True
        content = self.cog.fetch(self.level, replace(self.blocks, needed=needed)).contents[place]
        try:
            return self._decoded(content)
        except (deflate.DeflateError, ValueError) as error:
            kind = SceneError if bytes(content) == bytes(before) else TransientError
            raise kind(f"{self.cog.href} has a damaged block {place[0]}, {place[1]}: {error}") from error


def _ranges(store: Any, path: str, starts: list[int], sizes: list[int]) -> Sequence[Any]:
    return obstore.get_ranges(store, path, starts=starts, lengths=sizes, coalesce=_GAP_BYTES)


def _directories_of(href: str, store: Any, path: str) -> list[Directory]:
    """Read a header out of the file's first bytes, and of more of them where that is too few."""
    for length in _HEADER_BYTES:
        try:
            start = obstore.get_range(store, path, start=0, length=length)
        except NotSupportedError as error:
            raise NotThisKindError("a server without ranges") from error
        except (BaseError, OSError) as error:
            if is_empty(error):
                raise SceneError(f"{href} cannot be read: it is empty") from error
            raise _explain(href, error) from error
        content = bytes(start)
        if not is_little_endian(content):
            raise NotThisKindError("no little-endian TIFF")
        directories = read_directories(content)
        if directories is not None:
            return directories
        if len(content) < length:
            raise NotThisKindError("directories that lead out of the file")
    raise NotThisKindError(f"a header of more than {_HEADER_BYTES[-1]} bytes")


def _explain(href: str, error: BaseException) -> SceneError | TransientError:
    # What comes after is the same once more, as Rust would write it.
    reason = " ".join(str(error).partition("Debug source:")[0].split())[:300]
    kinds = (FileNotFoundError, PermissionDeniedError, PermissionError, UnauthenticatedError)
    lasting = isinstance(error, kinds) or _LASTING.search(reason)
    return (SceneError if lasting else TransientError)(f"{href} cannot be read: {reason}")


def _layout(image: Directory) -> CogLevel:
    """Check that an image is one that this reader knows, and say where its blocks lie."""
    compression, predictor = _number(image, Tag.COMPRESSION, _NONE), _number(image, Tag.PREDICTOR, 1)
    if compression not in (*_DEFLATE, _NONE) or predictor not in (1, _DIFFERENCES):
        raise NotThisKindError(f"compression {compression}, predictor {predictor}")
    samples, bits, kind = (_number(image, tag, 1) for tag in (Tag.SAMPLES, Tag.BITS, Tag.SAMPLE_FORMAT))
    (height, width), block = _shape(image)
    if samples != 1 or bits not in (8, 16) or kind != _UNSIGNED or not all(block):
        raise NotThisKindError(f"{samples} samples of {bits} bits, format {kind}, or no tiles")
    shape = -(-height // block[0]), -(-width // block[1])
    offsets, sizes = (image[tag].astype(np.int64).reshape(shape) for tag in (Tag.TILE_OFFSETS, Tag.TILE_SIZES))
    if min(offsets.min(), sizes.min()) < 0:
        raise NotThisKindError("blocks further out than any file is long")
    return CogLevel(offsets, sizes, compression in _DEFLATE, predictor == _DIFFERENCES)


def _header(images: Sequence[Directory]) -> Header:
    full = images[0]
    keys, scale, tie = _geo_keys(full), _numbers(full, Tag.PIXEL_SCALE), _numbers(full, Tag.TIE_POINT)
    code = keys.get(_PROJECTED) or keys.get(_GEOGRAPHIC)
    if not code or code == _OWN_CRS or not scale or min(scale[:2]) <= 0 or tie[:3] != [0.0] * 3 or tie[6:]:
        raise NotThisKindError("no plain georeference")
    if keys.get(_RASTER_TYPE) != _PIXEL_IS_AREA:
        raise NotThisKindError("pixel is point")
    base = Affine(scale[0], 0.0, tie[3], 0.0, -scale[1], tie[4])
    (full_height, full_width), _ = _shape(full)
    levels = []
    for index, image in enumerate(images):
        (height, width), block = _shape(image)
        shrunk = Affine.scale(full_width / width, full_height / height)
        levels.append(Level(index, height, width, base @ shrunk, block))
    dtype = f"uint{_number(full, Tag.BITS, 1)}"
    return Header(f"EPSG:{code}", dtype, usable_nodata(_nodata(full), dtype), tuple(levels))


def _shape(image: Directory) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of an image, and of its blocks: 0 where it has none."""
    size = _number(image, Tag.HEIGHT, 0), _number(image, Tag.WIDTH, 0)
    return size, (_number(image, Tag.TILE_HEIGHT, 0), _number(image, Tag.TILE_WIDTH, 0))


def _geo_keys(image: Directory) -> dict[int, int]:
    """What GeoTIFF's keys say, as far as that is one number: four of each, after four of the whole."""
    keys = np.reshape(_numbers(image, Tag.GEO_KEYS), (-1, 4))[1:]
    return {key: value for key, place, _, value in keys.tolist() if place == 0}


def _nodata(image: Directory) -> float | None:
    try:
        return float(image[Tag.NODATA].tobytes().partition(b"\0")[0])
    except (LookupError, ValueError):
        return None


def _number(image: Directory, tag: Tag, default: int) -> int:
    return int(image[tag][0]) if tag in image else default


def _numbers(image: Directory, tag: Tag) -> list[Any]:
    return image[tag].tolist() if tag in image else []
