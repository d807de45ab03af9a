"""Where obstore finds an asset: a host's connection pool, or this machine's disk, and a path in it."""

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
"""A server is waited for while bytes come, however slowly: a large part of a file over a thin line takes minutes."""
_RETRY: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=90)}
"""A server that takes requests and answers none is given up on after two minutes at the latest."""


_EMPTY = re.compile(r"StartTooLarge|status code: 416\b")
"""What is said of a file that has no first byte."""


class NotThisKindError(Exception):
    """A file that the block reader does not read; GDAL does."""


def is_empty(error: BaseException) -> bool:
    """Whether what went wrong is that a file has no first byte."""
    return bool(_EMPTY.search(str(error)))


def first_bytes(href: str, count: int) -> bytes | None:
    """How a file begins; None where that cannot be said, now or at all."""
    try:
        store, path = locate(href)
        return bytes(get_range(store, path, start=0, length=count))
    except (NotThisKindError, SceneError):
        return None
    except (BaseError, OSError) as error:
        return b"" if is_empty(error) else None


def locate(href: str) -> tuple[HTTPStore | LocalStore, str]:
    """Find the store of an href and the path in it.

    Raises
    ------
    NotThisKindError
        For everything but plain http(s) URLs and absolute paths. An s3:// bucket is left to GDAL, which follows the
        redirect to the bucket's region, where obstore wants to be told the region beforehand.
    SceneError
        For what is no address at all.
    """
    path = local_file(href)
    if path is not None:
        if not href.startswith(("/", "file:")):
            raise NotThisKindError("a relative path")
        return _disk(), _plain(path)
    parts = split(href)
    if parts is None:
        raise SceneError(f"{href!r} cannot be read: it is no address")
    if parts.scheme in HTTP:
        if parts.query or parts.fragment:
            raise NotThisKindError("a signed URL")
        return _host(f"{parts.scheme}://{parts.netloc}"), _plain(_decoded(parts.path))
    raise NotThisKindError(f"no store for {parts.scheme}")


@lru_cache(maxsize=256)
def _host(root: str) -> HTTPStore:
    """A connection pool, kept per process."""
    return HTTPStore.from_url(root, client_options=_CLIENT, retry_config=_RETRY)


@lru_cache(maxsize=1)
def _disk() -> LocalStore:
    return LocalStore("/")


def _decoded(path: str) -> str:
    """The path of a URL as obstore wants it, which encodes it anew."""
    if "%2f" in path.lower():
        raise NotThisKindError("an encoded slash")
    return unquote(path)


def _plain(path: str) -> str:
    """A path without its leading slash, if it has no steps that obstore refuses."""
    path = path[1:]
    if any(step in ("", ".", "..") for step in path.split("/")):
        raise NotThisKindError(f"a path with empty or relative steps: {path}")
    return path
