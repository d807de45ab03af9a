"""Find the obstore store of a file: a connection pool per host, or the local disk."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from obstore import get_range
from obstore.exceptions import BaseError
from obstore.store import HTTPStore, LocalStore

from ardcube.catalog.hrefs import HTTP, local_file, split
from ardcube.errors import SceneError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_CLIENT: ClientConfig = {"connect_timeout": "10s", "read_timeout": "20s", "timeout": "600s", "allow_http": True}
"""A request lasts as long as bytes arrive, because a large range over a slow connection takes minutes."""
_RETRY: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=90)}
"""A server that accepts requests and never answers fails after two minutes at the latest."""
_EMPTY = re.compile(r"StartTooLarge|status code: 416\b")
"""Messages for a file without a first byte."""


class UnsupportedFileError(Exception):
    """The block reader does not support this file; GDAL may read it."""


def is_empty(error: BaseException) -> bool:
    """Return whether an error says that the file is empty."""
    return bool(_EMPTY.search(str(error)))


def first_bytes(href: str, count: int) -> bytes | None:
    """Return the first bytes of a file, or None if they cannot be read."""
    try:
        store, path = locate(href)
        return bytes(get_range(store, path, start=0, length=count))
    except (UnsupportedFileError, SceneError):
        return None
    except (BaseError, OSError) as error:
        return b"" if is_empty(error) else None


def locate(href: str) -> tuple[HTTPStore | LocalStore, str]:
    """Return the store of a file and its path in that store.

    Raises
    ------
    UnsupportedFileError
        For everything but plain http(s) URLs and absolute paths. GDAL reads s3:// buckets, because it follows the
        redirect to the bucket's region, while obstore requires the region in advance.
    SceneError
        If `href` is no address.
    """
    path = local_file(href)
    if path is not None:
        if not href.startswith(("/", "file:")):
            raise UnsupportedFileError("a relative path")
        return _disk(), _plain(path)
    parts = split(href)
    if parts is None:
        raise SceneError(f"{href!r} cannot be read: it is no address; correct the item's asset")
    if parts.scheme in HTTP:
        if parts.query or parts.fragment:
            raise UnsupportedFileError("a signed URL")
        return _host(f"{parts.scheme}://{parts.netloc}"), _plain(_decoded(parts.path))
    raise UnsupportedFileError(f"no store for {parts.scheme}")


@lru_cache(maxsize=256)
def _host(root: str) -> HTTPStore:
    """Return the connection pool of a host, which is kept per process."""
    return HTTPStore.from_url(root, client_options=_CLIENT, retry_config=_RETRY)


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
