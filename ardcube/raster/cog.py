"""Read tiled, deflated GeoTIFFs block by block: obstore fetches byte ranges, libdeflate and ISA-L inflate them.

GDAL reads all other compressions, layouts, data types and filesystems; see `ardcube.raster.open`. Blocks are not
cached, because a chunk reads each block once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar

import deflate
import numpy as np
import obstore
from affine import Affine
from isal import igzip_lib
from numpy.typing import NDArray
from obstore.exceptions import BaseError

from ardcube.config import FileAccess
from ardcube.errors import ReplacedError, SceneError, TransientError
from ardcube.raster.complete import read_complete
from ardcube.raster.decode import DecodedBlock
from ardcube.raster.first_rows import bytes_of_rows, inflate_first, needed_rows
from ardcube.raster.header import Blocks, Header, Level, usable_nodata
from ardcube.raster.levels import overview_method
from ardcube.raster.object_store import UnsupportedFileError, explain_read, locate
from ardcube.raster.ranges import GAP_BYTES, merged
from ardcube.raster.refusals import note_readable
from ardcube.raster.signing import SignedAddress, read_signed
from ardcube.raster.tiff import Directory, Tag
from ardcube.raster.version import UNKNOWN_VERSION, FileVersion
from ardcube.runtime.threads import in_free_threads
from ardcube.runtime.usage import count_requests

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
_BEHIND_THE_END = re.compile(r"\b416\b.*Range Not Satisfiable")
"""Error of obstore if a file ends before the first byte of a range."""
_DAMAGED: tuple[type[Exception], ...]
_DAMAGED = (deflate.DeflateError, igzip_lib.error, ValueError)  # type: ignore[assignment]  # its stubs: an instance
"""Errors of a block that cannot be decoded, or has too few bytes."""
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


@dataclass(frozen=True, slots=True)
class Cog:
    """A file whose header was read."""

    href: str
    header: Header
    layout: tuple[CogLevel, ...]
    access: FileAccess = "unsigned"
    version: FileVersion = UNKNOWN_VERSION
    """Version of the file that the header was read from."""
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
        directories, version = read_complete(href, access)
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
            return cls(href, _header(images), layout, access, version)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise UnsupportedFileError(f"tags that do not fit together: {error!r}") from error

    def fetch(self, blocks: Blocks) -> CogBand:
        """Fetch the compressed bytes of the needed blocks; blocks close to each other in the file share a request.

        Raises
        ------
        TransientError
            If the file cannot be read now; ReplacedError if it was replaced after its header was read.
        """
        layout = self.layout[blocks.level.index]
        written = [index for index in blocks.indices if layout.sizes[index] > 0]
        starts = [int(layout.offsets[index]) for index in written]
        sizes = [int(layout.sizes[index]) for index in written]
        used = [
            bytes_of_rows(size, needed_rows(blocks, row), blocks.level.block[0])
            for size, (row, _) in zip(sizes, written, strict=True)
        ]
        runs = merged(starts, used, GAP_BYTES)
        answers = read_signed(self.href, self.access, partial(self._read, runs)) if runs else []
        if any(version != self.version for _, version in answers):
            self._check_unchanged()
        contents = {}
        for index, start, size in zip(written, starts, sizes, strict=True):
            number = bisect_right(runs, start, key=itemgetter(0)) - 1
            first = start - runs[number][0]
            contents[index] = answers[number][0][first : first + size]
        return CogBand(self, blocks, contents)

    def fetch_rest(self, level: Level, index: tuple[int, int], known: int) -> memoryview:
        """Fetch the bytes of a block after the first `known` ones."""
        layout = self.layout[level.index]
        start, size = int(layout.offsets[index]), int(layout.sizes[index])
        answers = read_signed(self.href, self.access, partial(self._read, [(start + known, start + size)]))
        if answers[0][1] != self.version:
            self._check_unchanged()
        return answers[0][0]

    def _read(self, runs: Sequence[tuple[int, int]], signed: SignedAddress) -> list[tuple[memoryview, FileVersion]]:
        """Read ranges of the file at the same time, and the version that each answer states."""
        return in_free_threads(partial(self._read_range, *locate(signed)), runs)

    def _read_range(self, store: Any, path: str, run: tuple[int, int]) -> tuple[memoryview, FileVersion]:
        try:
            answer = obstore.get(store, path, options={"range": run})
            content = memoryview(answer.bytes())
        except BaseException as error:
            # obstore panics if an answer ends early, as when the file is replaced. Its class cannot be imported.
            if _BEHIND_THE_END.search(str(error)):
                raise ReplacedError(f"{self.href} cannot be read: it was replaced by a shorter file") from error
            if isinstance(error, (BaseError, OSError)) or type(error).__name__ == "PanicException":
                raise explain_read(self.href, error) from error
            raise
        count_requests(1, len(content))
        if len(content) != run[1] - run[0]:
            raise ReplacedError(f"{self.href} cannot be read: it was replaced by a shorter file")
        return content, FileVersion.of(answer.meta)

    def _check_unchanged(self) -> None:
        """Raise ReplacedError unless the file has an equal header now, although its version differs."""
        try:
            now = Cog.open(self.href, self.access)
        except UnsupportedFileError:
            now = None
        if now is None or now.header != self.header or not all(map(CogLevel.equals, now.layout, self.layout)):
            raise ReplacedError(f"{self.href} cannot be read: it was replaced after its header was read")


@dataclass(frozen=True, slots=True)
class CogBand:
    """Compressed blocks of one level."""

    cog: Cog
    blocks: Blocks
    contents: Mapping[tuple[int, int], Any]
    """Bytes by row and column of blocks, without the blocks that were never written. Of a block whose last rows are not
    needed, the last bytes may be missing."""

    @property
    def size(self) -> int:
        """Number of fetched bytes."""
        return sum(len(content) for content in self.contents.values())

    def decode(self) -> Iterator[DecodedBlock]:
        """Decode the needed rows block by block. A block that was never written is nodata.

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
            content, rows = self.contents.get((y, x)), needed_rows(self.blocks, y)
            if content is None:
                values = np.zeros((rows, width), dtype)
                values[:, : 1 if predicted else width] = self.cog.header.nodata or 0
            else:
                try:
                    values = self._decoded((y, x), content, rows)
                except _DAMAGED:
                    values = self._fetched_again((y, x), content)[:rows]
            yield DecodedBlock(y * height, x * width, values, predicted)

    def _decoded(self, index: tuple[int, int], content: Any, rows: int) -> NDArray[Any]:
        """Decode a block, or its first rows from at least their bytes."""
        layout, (height, width) = self.cog.layout[self.blocks.level.index], self.blocks.level.block
        dtype = np.dtype(self.cog.header.dtype).newbyteorder("<")
        length = rows * width * dtype.itemsize
        if not layout.deflated:
            content = content[:length] if rows < height else content
        elif rows < height:
            content = inflate_first(content, length, partial(self._rest, index, len(content)))
        else:
            content = deflate.zlib_decompress(content, length)
        return np.frombuffer(content, dtype).reshape(rows, width)

    def _rest(self, index: tuple[int, int], known: int) -> Any:
        """Return the bytes of a block after the first `known` ones."""
        whole = known == self.cog.layout[self.blocks.level.index].sizes[index]
        return b"" if whole else self.cog.fetch_rest(self.blocks.level, index, known)

    def _fetched_again(self, index: tuple[int, int], before: Any) -> NDArray[Any]:
        """Fetch and decode a whole block whose bytes could not be decoded."""
        level = self.blocks.level
        needed = np.zeros(level.block_grid, bool)
        needed[index] = True
        all_rows = replace(self.blocks, needed=needed, row=0, height=level.block_grid[0] * level.block[0])
        content = self.cog.fetch(all_rows).contents[index]
        try:
            return self._decoded(index, content, level.block[0])
        except _DAMAGED as error:
            kind = SceneError if bytes(content[: len(before)]) == bytes(before) else TransientError
            raise kind(f"{self.cog.href} has a damaged block {index[0]}, {index[1]}: {error}") from error


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
