"""Open a file with GDAL for one read: its options, and what its messages mean."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import rasterio
import rasterio.errors
import rasterio.windows
from rasterio.env import ensure_env_with_credentials
from rasterio.io import DatasetReader

from ardcube.catalog.hrefs import HTTP, OBJECT_STORES, local_file, split
from ardcube.config import FileAccess
from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.raster.object_store import UnsupportedFileError, missing, read_start
from ardcube.raster.refusals import RefusedError, note_readable
from ardcube.raster.s3 import gdal_options
from ardcube.raster.signing import SignedAddress, read_signed
from ardcube.redaction import without_secrets
from ardcube.runtime.usage import count_unknown

_HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no directory listings over HTTP
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    # A request lasts as long as bytes arrive, as in `object_store`. Five attempts without a byte take two minutes.
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
    "GDAL_HTTP_TIMEOUT": 600,
    "VSI_CACHE": False,
}
_DRIVERS = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"]
"""Formats that hold only pixels. Others, such as VRT, can make GDAL read further files and servers."""
_NOT_CACHED = "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/"
"""All filesystems whose files GDAL caches, in the notation of `CPL_VSIL_CURL_NON_CACHED`."""
# With the words before the code, because messages contain file names, and a scene of April 4 has 0404 in its name.
_MISSING = re.compile(r"response code: (404|410)\b|No such file|does not exist|Not a directory")
_REFUSED = re.compile(r"response code: (401|403)\b|Permission denied|Access ?Denied|[Cc]redentials|ExpiredToken")
_NO_RASTER = "not recognized as"
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""First bytes of TIFF, BigTIFF and JPEG 2000."""
_UNDECODED = re.compile(r"TIFFReadEncoded(Tile|Strip)\(\) failed")
_SHORT = re.compile(r"Read error|got \d+ bytes")
"""Messages about a block that was truncated, in transfer or in the file."""
_uncached: set[str] = set()
"""Files whose last read failed. GDAL caches a truncated answer as if the file ended there, so every later read would
fail. These files are opened without GDAL's cache."""
_T = TypeVar("_T")


class DamagedError(Exception):
    """A block arrived complete and cannot be decoded."""


class WithoutGeoreference(DatasetReader):  # type: ignore[misc]
    """A dataset opened without its CRS, which takes half the time."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, GEOREF_SOURCES="NONE", **options)

    def read_transform(self) -> list[float]:
        """Return the transform of pixel coordinates; rasterio would warn that the georeference is missing."""
        return [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def read_uncached(href: str) -> None:
    """Read a file without GDAL's cache from now on, until a read succeeds."""
    _uncached.add(href)


def read_with_gdal(
    href: str,
    access: FileAccess,
    use: Callable[[Any], _T],
    reader: type[DatasetReader] = WithoutGeoreference,
    **options: Any,
) -> _T:
    """Open a file with GDAL and return what `use` reads from it; convert GDAL's errors."""

    def attempt(signed: SignedAddress) -> _T:
        with _open(href, signed, access, reader, **options) as source:
            return use(source)

    def apart(signed: SignedAddress) -> _T:
        # rasterio sets options of the main thread for all threads, whose requests to other hosts would have the header.
        if signed.headers and threading.current_thread() is threading.main_thread():
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(attempt, signed).result()
        return attempt(signed)

    return read_signed(href, access, apart)


@contextmanager
def _open(
    href: str, signed: SignedAddress, access: FileAccess, reader: type[DatasetReader], **options: Any
) -> Iterator[Any]:
    """Open a file with GDAL options for one `with` block; convert GDAL's errors, and skip its cache after a failure."""
    name = _gdal_name(href)
    name = name if signed.url == href else signed.url
    chosen = {name: value for name, value in _HTTP_OPTIONS.items() if name not in os.environ}
    if signed.headers:
        chosen["GDAL_HTTP_HEADERS"] = "".join(f"{header}: {value}\r\n" for header, value in signed.headers)
    count_unknown()
    cache = rasterio.Env(CPL_VSIL_CURL_NON_CACHED=_NOT_CACHED) if href in _uncached else nullcontext()
    try:
        with rasterio.Env(**chosen, **gdal_options(access)), cache, _dataset(name, reader, **options) as source:
            yield source
    except rasterio.errors.RasterioError as error:
        _uncached.add(href)
        reason = " ".join(str(error.__cause__ or error).split())
        raise _explain(href, access, reason.replace(signed.url, href), error) from error
    _uncached.discard(href)
    note_readable(href)


def _explain(href: str, access: FileAccess, reason: str, error: BaseException) -> Exception:
    if _REFUSED.search(reason):
        return RefusedError(without_secrets(reason))
    if _MISSING.search(reason):
        return SceneError(missing(href))
    return _kind_of(href, access, reason, error)(f"{href} cannot be read: {without_secrets(reason)}")


def _kind_of(
    href: str, access: FileAccess, reason: str, error: BaseException
) -> type[SceneError | TransientError | DamagedError]:
    if _NO_RASTER in reason:
        # GDAL reports the same if the first bytes did not arrive.
        start = _first_bytes(href, access) if local_file(href) is None else b""
        return TransientError if start is None or start.startswith(_SIGNATURES) else SceneError
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return DamagedError if _UNDECODED.search(reason) and not _SHORT.search(str(root)) else TransientError


def _first_bytes(href: str, access: FileAccess) -> bytes | None:
    """Return the first bytes of a file, or None if they cannot be read now."""
    try:
        return read_start(href, max(map(len, _SIGNATURES)), access).content
    except (UnsupportedFileError, AccessError, TransientError):
        return None
    except SceneError:
        return b""


@ensure_env_with_credentials
def _dataset(name: str, reader: type[DatasetReader], **options: Any) -> Any:
    return reader(name, driver=_DRIVERS, sharing=False, **options)  # (`rasterio.open` takes one driver only)


def _gdal_name(href: str) -> str:
    """Return an href that is a file or a plain URL, which GDAL reads as such.

    Raises
    ------
    SceneError
        For GDAL's notations, such as /vsi paths and names that begin with a driver.
    """
    path, parts = local_file(href), split(href)
    if path is not None and not path.startswith("/vsi"):
        return path
    if path is None and parts is not None and parts.scheme in (*HTTP, *OBJECT_STORES):
        return href
    raise SceneError(f"{href!r} cannot be read: it is neither a file nor an address of http, https, s3, gs, az or oss")
