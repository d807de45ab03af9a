"""SAS tokens of containers, fetched when a file is read, and kept in this process only."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError

from ardcube.catalog.hrefs import split
from ardcube.config import TokenAccess
from ardcube.errors import AccessError, TransientError
from ardcube.raster.http import http_store
from ardcube.raster.refusals import expiry_of
from ardcube.redaction import without_secrets

_MARGIN = 300.0
"""Seconds before its expiry at which a token is renewed; a quarter of its lifetime if that is less."""
_SHORTEST = 1.0
"""Seconds between two requests for a token of a container, if the clocks differ or fresh tokens are refused."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_NAME = re.compile(r"[a-z0-9$](-?[a-z0-9])*")
"""Name of an account or container of Azure: no other path of the token service can be requested."""
_REFUSED = re.compile(r"status code: 4(?!08|29)\d\d|lacked|not found", re.IGNORECASE)
"""Messages about requests that fail again; 408 and 429 may succeed later."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    fetched: float
    renewal: float
    expiry: float
    """Seconds of `time.monotonic`; infinite if the service does not state it."""


class ContainerToken:
    """The token of one container, shared by the threads of this process.

    Parameters
    ----------
    url : str
        Address that returns the token.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = Lock()
        self._token: _Token | None = None
        self._failure: tuple[float, AccessError | TransientError] | None = None
        """End and error of the last request, if it failed."""

    def get(self) -> str:
        """Return a valid token. One thread renews it before it expires, and others use the old one meanwhile.

        Raises
        ------
        AccessError
            If the service refuses to return one.
        TransientError
            If the service does not answer.
        """
        before, now = self._token, time.monotonic()
        if before is not None and now < before.renewal:
            return before.text
        valid = before is not None and now < before.expiry
        if not self._lock.acquire(blocking=not valid):
            assert before is not None
            return before.text
        try:
            if self._token is before:
                self._token = self._fetched_or(before if valid else None, now)
            assert self._token is not None
            return self._token.text
        finally:
            self._lock.release()

    def renew(self, refused: str) -> bool:
        """Renew a token that a server refused, unless another thread has done that; return whether there is another."""
        asked = time.monotonic()
        with self._lock:
            if self._token is None or self._token.text == refused:
                if self._token is not None and time.monotonic() - self._token.fetched < _SHORTEST:
                    return False
                self._token = self._fetch(asked)
            return self._token.text != refused

    def _fetched_or(self, valid: _Token | None, asked: float) -> _Token:
        """Fetch a token; if the service does not answer now, keep a valid one."""
        try:
            return self._fetch(asked)
        except TransientError:
            if valid is None:
                raise
            now = time.monotonic()
            return replace(valid, renewal=now + max(_SHORTEST, (valid.expiry - now) / 4))

    def _fetch(self, asked: float) -> _Token:
        """Fetch a token, unless a request failed since `asked`: threads that wait for it fail with it."""
        if self._failure is not None and self._failure[0] > asked:
            failure = self._failure[1]
            raise type(failure)(str(failure))
        try:
            return self._request()
        except (AccessError, TransientError) as error:
            self._failure = time.monotonic(), error
            raise

    def _request(self) -> _Token:
        begun = time.monotonic()
        url = urlsplit(self._url)
        query = f"/?{url.query}" if url.query else ""
        try:
            answer = obstore.get(http_store(f"{url.scheme}://{url.netloc}{query}"), url.path.lstrip("/"))
            content = bytes(answer.bytes())
        except (BaseError, OSError) as error:
            reason = without_secrets(" ".join(str(error).partition("Debug source:")[0].split()))[:300]
            if _REFUSED.search(reason):
                raise AccessError(
                    f"{self._url}: returns no token ({reason}); correct token_url and hosts in the definition of the "
                    "collection, or the address of the item"
                ) from error
            raise TransientError(f"{self._url}: returns no token ({reason})") from error
        text, expiry = self._parsed(content)
        if expiry is None:
            return _Token(text, begun, math.inf, math.inf)
        lifetime = max(_SHORTEST, (expiry - datetime.now(UTC)).total_seconds())
        return _Token(text, begun, begun + lifetime - min(_MARGIN, lifetime / 4), begun + lifetime)

    def _parsed(self, content: bytes) -> tuple[str, datetime | None]:
        """Return token and expiry. No error repeats the content, which may be a token."""
        try:
            answer = json.loads(content)
            text = str(answer["token"]).removeprefix("?")
            stated = answer.get("msft:expiry")
            expiry = expiry_of(f"?{text}") if stated is None else datetime.fromisoformat(stated)
        except (ValueError, TypeError, LookupError, AttributeError):
            raise TransientError(f"{self._url}: its answer contains no token") from None
        if not _TOKEN.fullmatch(text):
            raise TransientError(f"{self._url}: its answer contains no token")
        return text, expiry.replace(tzinfo=UTC) if expiry is not None and expiry.tzinfo is None else expiry


def container_token(href: str, access: TokenAccess) -> ContainerToken:
    """Return the token of the container of a file.

    Raises
    ------
    AccessError
        If the address has no container.
    """
    url = split(href)
    account = "" if url is None else (url.hostname or "").partition(".")[0]
    container = "" if url is None else url.path.lstrip("/").partition("/")[0]
    if not _NAME.fullmatch(account) or not _NAME.fullmatch(container):
        raise AccessError(
            f"{href} cannot be read: it is no address of a file in a container (https://ACCOUNT.HOST/CONTAINER/FILE); "
            "correct the item"
        )
    return _container_token(access.token_url.replace("{account}", account).replace("{container}", container))


@lru_cache(maxsize=1024)
def _container_token(url: str) -> ContainerToken:
    return ContainerToken(url)
