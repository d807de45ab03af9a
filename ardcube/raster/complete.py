"""Refuse files that are shorter than their headers say, before a block is requested.

A request beyond the end of a file is repeated several times by libraries, and each repetition waits.
"""

from __future__ import annotations

from contextlib import suppress

from ardcube.config import FileAccess
from ardcube.errors import SceneError
from ardcube.raster.object_store import FileStart, UnsupportedFileError, read_end, read_start
from ardcube.raster.tiff import Directory, end_of_blocks, is_little_endian, read_directories
from ardcube.raster.version import FileVersion

_HEADER_BYTES = (32_768, 1_048_576)
"""Bytes of the first request, which hold the header of a granule of 10,980 pixels; bytes of a second request."""
_JP2 = b"\0\0\0\x0cjP  "
"""First bytes of a JPEG 2000 file, which consists of boxes."""
_CODESTREAM = b"jp2c"
"""Name of the box that holds the pixels."""
_END = b"\xff\xd9"
"""Last bytes of the pixels."""


def read_complete(href: str, access: FileAccess) -> tuple[list[Directory], FileVersion]:
    """Read the directories of a TIFF from its first bytes, usually with one request; and the version of the file.

    Raises
    ------
    UnsupportedFileError
        If GDAL has to read the file. A JPEG 2000 file is then not known to be truncated.
    SceneError
        If the file is missing, empty or truncated.
    AccessError
        If access is refused.
    TransientError
        If the file cannot be read now.
    """
    for length in _HEADER_BYTES:
        start = read_start(href, length, access)
        if not is_little_endian(start.content):
            if start.content.startswith(_JP2):
                _check_codestream(href, start, access)
            raise UnsupportedFileError("no little-endian TIFF")
        directories = read_directories(start.content)
        if not isinstance(directories, int):
            _check_length(href, start, end_of_blocks(directories))
            return directories, start.version
        _check_length(href, start, directories)
    raise UnsupportedFileError(f"a header of more than {_HEADER_BYTES[-1]} bytes, or no directory")


def check_complete(href: str, access: FileAccess) -> None:
    """Raise an error as `read_complete` does; files that only GDAL can reach are not checked."""
    with suppress(UnsupportedFileError):
        read_complete(href, access)


def _check_length(href: str, start: FileStart, needed: int) -> None:
    if needed > start.size:
        raise SceneError(f"{href} cannot be read: it is truncated, with {start.size} of at least {needed} bytes")


def _check_codestream(href: str, start: FileStart, access: FileAccess) -> None:
    """Raise SceneError if the box of the pixels, or a box that lasts to the file's end, is truncated."""
    end = _end_of_codestream(start.content)
    _check_length(href, start, end)
    if end == 0 and read_end(href, start, len(_END), access) != _END:
        _check_length(href, start, start.size + len(_END))


def _end_of_codestream(content: bytes) -> int:
    """Return where the box of the pixels ends; 0 if the box lasts to the file's end (ISO 15444-1, annex I.4)."""
    at = 0
    while at + 16 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if size == 1:  # the length has eight bytes, after the name
            size = int.from_bytes(content[at + 8 : at + 16], "big")
        if kind == _CODESTREAM or size < 8:
            return at + size if size else 0
        at += size
    return 0
