"""Where obstore finds an asset: a host's connection pool, or this machine's disk, and a path in it."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.store import HTTPStore, LocalStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_CLIENT: ClientConfig = {"connect_timeout": "10s", "timeout": "120s", "allow_http": True}
_RETRY: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=120)}


class NotThisKindError(Exception):
    """A file that the block reader does not read; GDAL does."""


def locate(href: str) -> tuple[HTTPStore | LocalStore, str]:
    """Find the store of an href and the path in it.

    Raises
    ------
    NotThisKindError
        For everything but plain http(s) URLs and absolute paths. An s3:// bucket is left to GDAL, which follows the
        redirect to the bucket's region, where obstore wants to be told the region beforehand.
    """
    parts = urlsplit(href)
    if parts.scheme in ("http", "https"):
        if parts.query or parts.fragment:
            raise NotThisKindError("a signed URL")
        return _host(f"{parts.scheme}://{parts.netloc}"), _plain(_decoded(parts.path))
    if Path(href).is_absolute():
        return _disk(), _plain(href)
    raise NotThisKindError(f"no store for {parts.scheme or 'relative path'}")


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
