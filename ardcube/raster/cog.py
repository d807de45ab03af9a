"""Read tiled, deflated GeoTIFFs block by block: obstore fetches byte ranges, libdeflate and ISA-L inflate them.

GDAL reads all other compressions, layouts, data types and filesystems; see `ardcube.raster.open`. Blocks are not
cached, because a chunk reads each block once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar

import deflate
import numpy as np
import obstore
from isal import igzip_lib
from numpy.typing import NDArray
from obstore.exceptions import BaseError

from ardcube.config import FileAccess
from ardcube.errors import ReplacedError, SceneError, TransientError
from ardcube.raster.complete import read_complete
from ardcube.raster.decode import DecodedBlock
from ardcube.raster.first_rows import inflate_first, needed_ranges, needed_rows
from ardcube.raster.geotiff import CogLevel, header_and_layout
from ardcube.raster.header import Blocks, Header, Level
from ardcube.raster.object_store import UnsupportedFileError, explain_read, locate
from ardcube.raster.refusals import note_readable
from ardcube.raster.signing import SignedAddress, read_signed
from ardcube.raster.tiff import Directory, Tag
from ardcube.raster.version import UNKNOWN_VERSION, FileVersion
from ardcube.runtime.threads import in_free_threads
from ardcube.runtime.usage import count_requests

_BEHIND_THE_END = re.compile(r"\b416\b.*Range Not Satisfiable")
"""Error of obstore if a file ends before the first byte of a range."""
_DAMAGED: tuple[type[Exception], ...]
_DAMAGED = (deflate.DeflateError, igzip_lib.error, ValueError)  # type: ignore[assignment]  # its stubs: an instance
"""Errors of a block that cannot be decoded, or has too few bytes."""


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
        images = [_with_metadata(image, href, access) for image in directories]
        note_readable(href)
        return cls(href, *header_and_layout(images), access, version)

    def fetch(self, blocks: Blocks) -> CogBand:
        """Fetch the compressed bytes of the needed blocks; blocks close to each other in the file share a request.

        Raises
        ------
        TransientError
            If the file cannot be read now; ReplacedError if it was replaced after its header was read.
        """
        layout = self.layout[blocks.level.index]
        written = [index for index in blocks.indices if layout.sizes[index] > 0]
        runs = needed_ranges(blocks, layout.offsets, layout.sizes)
        answers = read_signed(self.href, self.access, partial(self._read, runs)) if runs else []
        if any(version != self.version for _, version in answers):
            self._check_unchanged()
        contents = {}
        for index in written:
            start, size = int(layout.offsets[index]), int(layout.sizes[index])
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
    contents: dict[tuple[int, int], Any]
    """Bytes by row and column of blocks, without the blocks that were never written. Of a block whose last rows are not
    needed, the last bytes may be missing. Empty after they were decoded."""

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
                self.contents[y, x] = b""  # releases the bytes; if the block is decoded again, it is fetched again
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
