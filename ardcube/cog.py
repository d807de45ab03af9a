"""Reading tiled, deflated GeoTIFFs block by block: ranges from obstore, headers by async-tiff, libdeflate.

What it does not read (other compressions, layouts, data types, filesystems) is left to GDAL; see `ardcube.reader`.
Nothing here is cached but headers: a block is wanted once per chunk.
"""

from __future__ import annotations

import asyncio
import atexit
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import Any, ClassVar

import deflate
import numpy as np
import obstore
from affine import Affine
from async_tiff import TIFF
from numpy.typing import NDArray
from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import MemoryStore

from ardcube.asset_store import NotThisKindError, is_empty, locate
from ardcube.errors import SceneError, TransientError
from ardcube.pixels import Piece
from ardcube.raster import Blocks, Header, Level, usable_nodata
from ardcube.tiff import holds_directories, is_little_endian

_DEFLATE, _NONE = (8, 32946), 1
_PIXEL_IS_AREA = 1
_REDUCED = 1
"""Of `NewSubfileType`: an overview; masks have other bits."""
_HEADER_BYTES = (32_768, 1_048_576)
"""First request of a file, which holds the whole header of a granule of 10,980 pixels; a second one, if it does not."""
_GAP_BYTES = 1_150_000
"""Bytes between blocks that are read rather than asked for anew: about a block, and what comes within a latency."""
_parsing = Lock()
"""Sixteen event loops at once hand on the interpreter so often that a header takes three times as long."""
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
        tiff = _header_of(href, store, path)
        full, *others = tiff.ifds
        ifds = [full, *(ifd for ifd in others if _number(ifd.new_subfile_type) == _REDUCED)]
        try:
            return cls(href, _header(ifds), store, path, tuple(_layout(ifd) for ifd in ifds))
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise NotThisKindError(f"tags that do not fit together: {error}") from error

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


def _header_of(href: str, store: Any, path: str) -> TIFF:
    """Parse a header out of the file's first bytes, and of more of them where that is too few."""
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
        if holds_directories(content):
            return _parse(content)
        if len(content) < length:
            raise NotThisKindError("directories that lead out of the file")
    raise NotThisKindError(f"a header of more than {_HEADER_BYTES[-1]} bytes")


def _parse(content: bytes) -> TIFF:
    memory = MemoryStore()
    obstore.put(memory, "header", content)
    try:
        with _parsing:
            return _loop().run_until_complete(_open(memory, len(content)))
    except Exception as error:
        raise NotThisKindError(str(error)) from error


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all headers of a process: to make and close one takes a third of the time of a header."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


async def _open(store: MemoryStore, length: int) -> TIFF:
    return await TIFF.open("header", store=store, prefetch=length)


def _explain(href: str, error: BaseException) -> SceneError | TransientError:
    # What comes after is the same once more, as Rust would write it.
    reason = " ".join(str(error).partition("Debug source:")[0].split())[:300]
    kinds = (FileNotFoundError, PermissionDeniedError, PermissionError, UnauthenticatedError)
    lasting = isinstance(error, kinds) or _LASTING.search(reason)
    return (SceneError if lasting else TransientError)(f"{href} cannot be read: {reason}")


def _layout(ifd: Any) -> CogLevel:
    """Check that an image is one that this reader knows, and say where its blocks lie."""
    compression, predictor = _number(ifd.compression), _number(ifd.predictor) or 1
    bits, kinds = ifd.bits_per_sample, [_number(kind) or 1 for kind in ifd.sample_format or [1]]
    if compression not in (*_DEFLATE, _NONE) or predictor not in (1, 2):
        raise NotThisKindError(f"compression {compression}, predictor {predictor}")
    if list(bits) not in ([8], [16]) or kinds != [1] or not ifd.tile_width or not ifd.tile_height:
        raise NotThisKindError(f"{bits} bits, sample formats {kinds}, or no tiles")
    rows, columns = -(-ifd.image_height // ifd.tile_height), -(-ifd.image_width // ifd.tile_width)
    shape = (rows, columns)
    return CogLevel(
        np.array(ifd.tile_offsets, np.int64).reshape(shape),
        np.array(ifd.tile_byte_counts, np.int64).reshape(shape),
        compression in _DEFLATE,
        predictor == 2,
    )


def _header(ifds: Sequence[Any]) -> Header:
    full = ifds[0]
    keys, scale, tie = full.geo_key_directory, full.model_pixel_scale, full.model_tiepoint
    code = getattr(keys, "projected_type", None) or getattr(keys, "geographic_type", None)
    if not code or code == 32767 or not scale or min(scale[:2]) <= 0 or not tie or [*tie[:3]] != [0.0] * 3 or tie[6:]:
        raise NotThisKindError("no plain georeference")
    if _number(getattr(keys, "raster_type", None)) != _PIXEL_IS_AREA:
        raise NotThisKindError("pixel is point")
    base = Affine(scale[0], 0.0, tie[3], 0.0, -scale[1], tie[4])
    levels = tuple(
        Level(
            index,
            ifd.image_height,
            ifd.image_width,
            base @ Affine.scale(full.image_width / ifd.image_width, full.image_height / ifd.image_height),
            (ifd.tile_height, ifd.tile_width),
        )
        for index, ifd in enumerate(ifds)
    )
    dtype = f"uint{full.bits_per_sample[0]}"
    return Header(f"EPSG:{code}", dtype, usable_nodata(_parsed(full.gdal_nodata), dtype), levels)


def _parsed(nodata: str | None) -> float | None:
    try:
        return float(nodata or "nan")
    except ValueError:
        return None


def _number(value: Any) -> int | None:
    """A TIFF value that may be an enum or a list of one."""
    if isinstance(value, (list, tuple)):
        value = value[0]
    return None if value is None else int(getattr(value, "value", value))
