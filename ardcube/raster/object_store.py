"""Read ranges of a file, and find its obstore store: a connection pool per host, or the local disk."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import obstore
from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import HTTPStore, LocalStore

from ardcube.catalog.hrefs import HTTP, local_file, split
from ardcube.config import FileAccess
from ardcube.errors import SceneError, TransientError
from ardcube.raster import s3
from ardcube.raster.http import http_store
from ardcube.raster.refusals import RefusedError
from ardcube.raster.signing import SignedAddress, read_signed, try_signed
from ardcube.raster.version import FileVersion
from ardcube.redaction import without_secrets
from ardcube.runtime.usage import count_requests

_DURATION = re.compile(r" in [\d.]+(ns|µs|us|ms|s)\b")
"""Duration of a request, without which equal errors have equal messages."""
_MISSING = re.compile(r"status code: 410\b|\(os error 20\)")
"""Messages about missing files without an exception type: HTTP 410; a path through a file (ENOTDIR)."""
_REFUSED = (PermissionDeniedError, PermissionError, UnauthenticatedError)
_EMPTY = re.compile(r"StartTooLarge|status code: 416\b")
"""Messages for a file without a first byte."""


class UnsupportedFileError(Exception):
    """The block reader does not support this file; GDAL may read it."""


@dataclass(frozen=True, slots=True)
class FileStart:
    """The first bytes of a file, and its length."""

    content: bytes
    version: FileVersion

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.version.size


def read_start(href: str, length: int, access: FileAccess) -> FileStart:
    """Read the first bytes of a file with one request, whose answer also states the file's length.

    Parameters
    ----------
    href : str
        Address of the file.
    length : int
        Bytes to read.
    access : FileAccess
        How the file may be read.

    Raises
    ------
    UnsupportedFileError
        If GDAL has to read the file.
    SceneError
        If the file is missing or empty.
    AccessError
        If access is refused.
    TransientError
        If the file cannot be read now.
    """
    return FileStart(*_get(href, 0, length, access))


def read_end(href: str, start: FileStart, length: int, access: FileAccess) -> bytes:
    """Read the last bytes of a file; raise errors as `read_start` does."""
    return _get(href, max(0, start.size - length), start.size, access)[0]


def read_if_present(href: str, length: int, access: FileAccess) -> bytes:
    """Return the first bytes of a file, nothing if it is missing, empty, refused, or only GDAL can reach it.

    Raises
    ------
    TransientError
        If its server does not answer.
    """
    try:
        if href.startswith("s3:"):
            return s3.read_range(href, 0, length, access)[0]
        return try_signed(href, access, lambda signed: _read_range(href, signed, 0, length)[0])
    except (RefusedError, SceneError, UnsupportedFileError, s3.RangeError, FileNotFoundError):
        return b""


def _get(href: str, start: int, end: int, access: FileAccess) -> tuple[bytes, FileVersion]:
    """Return some bytes of a file, and its version."""
    if href.startswith("s3:"):
        return _get_from_s3(href, start, end, access)
    return read_signed(href, access, lambda signed: _read_range(href, signed, start, end))


def _read_range(href: str, signed: SignedAddress, start: int, end: int) -> tuple[bytes, FileVersion]:
    store, path = locate(signed)
    if isinstance(store, LocalStore) and os.path.exists(f"/{path}") and not os.path.isfile(f"/{path}"):  # noqa: PTH110, PTH113
        raise SceneError(f"{href} cannot be read: it is no file")  # reading a pipe would wait for its other end
    try:
        answer = obstore.get(store, path, options={"range": (start, end)})
        content = bytes(answer.bytes())
    except NotSupportedError as error:
        raise UnsupportedFileError("a server without ranges") from error
    except (BaseError, OSError) as error:
        if _EMPTY.search(str(error)):
            raise SceneError(_empty(href)) from error
        raise explain_read(href, error) from error
    count_requests(1, len(content))
    return content, FileVersion.of(answer.meta)


def _get_from_s3(href: str, start: int, end: int, access: FileAccess) -> tuple[bytes, FileVersion]:
    try:
        content, size = s3.read_range(href, start, end, access)
    except FileNotFoundError as error:
        raise SceneError(missing(href)) from error
    except s3.RangeError as error:
        raise UnsupportedFileError(str(error)) from error
    if not size:
        raise SceneError(_empty(href))
    return content, FileVersion(size)


def explain_read(href: str, error: BaseException) -> RefusedError | SceneError | TransientError:
    """Return the error of ardcube for an error of obstore."""
    # The debug source repeats the message in Rust's notation.
    reason = " ".join(_DURATION.sub("", str(error).partition("Debug source:")[0]).split())
    reason = without_secrets(reason)[:300]  # it contains the signed address
    if isinstance(error, _REFUSED):
        return RefusedError(reason)
    if isinstance(error, FileNotFoundError) or _MISSING.search(reason):
        return SceneError(missing(href))
    return TransientError(f"{href} cannot be read: {reason}")


def missing(href: str) -> str:
    """Return the message about a file that does not exist."""
    return f"{href} cannot be read: it does not exist"


def _empty(href: str) -> str:
    return f"{href} cannot be read: it is empty"


def locate(signed: SignedAddress) -> tuple[HTTPStore | LocalStore, str]:
    """Return the store of a file and its path in that store.

    Raises
    ------
    UnsupportedFileError
        For everything but http(s) URLs and absolute paths. GDAL reads s3:// buckets, because it follows the
        redirect to the bucket's region, while obstore requires the region in advance.
    SceneError
        If the address is none.
    """
    href = signed.url
    path = local_file(href)
    if path is not None:
        if not href.startswith(("/", "file:")):
            raise UnsupportedFileError("a relative path")
        return _disk(), _plain(path)
    parts = split(href)
    if parts is None:
        raise SceneError(f"{href!r} cannot be read: it is no address; correct the item's asset")
    if parts.scheme in HTTP:
        if parts.fragment:
            raise UnsupportedFileError("a fragment")
        query = f"/?{parts.query}" if parts.query else ""
        return http_store(f"{parts.scheme}://{parts.netloc}{query}", signed.headers), _plain(_decoded(parts.path))
    raise UnsupportedFileError(f"no store for {parts.scheme}")


@lru_cache(maxsize=1)
def _disk() -> LocalStore:
    return LocalStore("/")


def _decoded(path: str) -> str:
    """Decode the path of a URL, because obstore encodes paths itself."""
    if "%2f" in path.lower():
        raise UnsupportedFileError("an encoded slash")
    return unquote(path)


def _plain(path: str) -> str:
    """Return a path without its leading slash, if obstore accepts each of its steps."""
    path = path[1:]
    if any(step in ("", ".", "..") for step in path.split("/")):
        raise UnsupportedFileError(f"a path with empty or relative steps: {path}")
    return path
