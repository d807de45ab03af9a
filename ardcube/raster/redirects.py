"""Requests with a secret header, and the addresses to which they are redirected.

Libraries send headers along when a server redirects them to another host, except for `Authorization`. Redirects are
therefore followed here. Afterwards the library requests the final address, without the header if it is another host.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from ardcube.catalog.access import is_link_local
from ardcube.catalog.file_access import is_at
from ardcube.catalog.hrefs import HTTP, split
from ardcube.config import HeaderAccess
from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.raster.refusals import RefusedError, expiry_of
from ardcube.redaction import without_secrets

if TYPE_CHECKING:
    import requests

_MOST_REDIRECTS = 5
_MOST_KEPT = 10_000
"""Final addresses to remember."""
_KEPT_SECONDS = 600.0
"""Seconds for which a final address is used if it does not state when it expires."""
_MARGIN = 60.0
"""Seconds before its expiry at which a final address is renewed; half of its lifetime if that is less."""
_LOGIN = re.compile(r"/oauth2?/authorize\b|/login\b", re.IGNORECASE)
"""Path of a page where a person logs in; servers lead to it instead of an answer with the status 401."""
_RETRIES = 4
"""Retries of a request that may succeed later, as in `ardcube.raster.http`."""
_TIMEOUT = (10.0, 20.0)
"""Seconds to connect, and to wait for an answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """The final address of a file."""

    url: str
    has_header: bool
    """Whether requests need the header."""
    renewal: float
    """Seconds of `time.monotonic`."""


_targets: OrderedDict[tuple[str, HeaderAccess], Target] = OrderedDict()
_lock = Lock()


def header_value(access: HeaderAccess, href: str) -> str:
    """Return the value of a header with the secret of the environment.

    Raises
    ------
    AccessError
        If the environment variable is not set, or cannot be sent. The message contains no value.
    """
    secret = os.environ.get(access.variable, "").strip()
    if not secret:
        raise AccessError(f"{_origin(href)}: {missing_variable(access)}")
    value = access.filled(secret)
    if not re.fullmatch(r"[\x20-\x7e]+", value):
        raise AccessError(
            f"{_origin(href)}: the environment variable {access.variable} contains characters that no header can have; "
            "correct it"
        )
    return value


def missing_variable(access: HeaderAccess) -> str:
    """Return the text about an environment variable that is not set, and what to do."""
    return (
        f"the header {access.name} needs the environment variable {access.variable}, which is not set; set it to the "
        "token of the provider, on each worker"
    )


def find_target(href: str, access: HeaderAccess) -> Target:
    """Return the final address of a file, from memory or with a request for one byte.

    Raises
    ------
    RefusedError
        If the server refuses the header, or leads to a page where a person logs in.
    AccessError
        If the environment variable of the header is not set.
    SceneError
        If the file is missing, or redirected to an address that is not allowed.
    TransientError
        If the server does not answer.
    """
    with _lock:
        known = _targets.get((href, access))
    if known is not None and time.monotonic() < known.renewal:
        return known
    target = _follow(href, access)
    with _lock:
        _targets[href, access] = target
        _targets.move_to_end((href, access))
        if len(_targets) > _MOST_KEPT:
            _targets.popitem(last=False)
    return target


def forget_target(href: str, access: HeaderAccess, refused: str) -> bool:
    """Forget the final address of a file, because its server refused it; return whether it was a redirect."""
    with _lock:
        known = _targets.get((href, access))
        if known is not None and known.url == refused:
            del _targets[href, access]
    return refused != href


def _follow(href: str, access: HeaderAccess) -> Target:
    url = href
    for _ in range(_MOST_REDIRECTS + 1):
        with_header = is_at(url, access.hosts)
        if url != href and not with_header:
            return Target(url, has_header=False, renewal=_renewal(url))
        location = _request(href, url, access)
        if location is None:
            return Target(url, has_header=True, renewal=time.monotonic() + _KEPT_SECONDS)
        url = _checked(href, urljoin(url, location))
    raise SceneError(f"{href} cannot be read: it is redirected more than {_MOST_REDIRECTS} times")


def _request(href: str, url: str, access: HeaderAccess) -> str | None:
    """Request the first byte of a file; return where the server redirects to, or None if it answers itself."""
    import requests  # few archives need it

    def add_header(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[access.name] = header_value(access, url)  # here, so that ~/.netrc is not used instead
        return request

    try:
        answer = _session().get(
            url, headers={"Range": "bytes=0-0"}, auth=add_header, allow_redirects=False, stream=True, timeout=_TIMEOUT
        )
    except requests.RequestException as error:
        reason = without_secrets(" ".join(str(error).split()))[:300]
        raise TransientError(f"{href} cannot be read: {reason}") from error
    with answer:
        if answer.is_redirect:
            return answer.headers["Location"]
        if answer.status_code in (401, 403):
            raise RefusedError(f"HTTP status code: {answer.status_code}")
        if answer.status_code in (404, 410):
            raise SceneError(f"{href} cannot be read: it does not exist")
        if answer.status_code >= 400 and answer.status_code != 416:  # 416 is an empty file
            raise TransientError(f"{href} cannot be read: HTTP status code: {answer.status_code}")
    return None


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    retry = Retry(
        total=_RETRIES, backoff_factor=0.5, backoff_jitter=0.5, redirect=False,
        status_forcelist=(408, 429, 500, 502, 503, 504), raise_on_status=False, respect_retry_after_header=False,
    )  # fmt: skip
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=32))
    return session


def _checked(href: str, target: str) -> str:
    """Return a redirect's address if a file may be read there."""
    url = split(target)
    if url is None or url.scheme not in HTTP or is_link_local(url.hostname or ""):
        raise SceneError(
            f"{href} cannot be read: it is redirected to {without_secrets(target):.200}, which is not allowed"
        )
    if _LOGIN.search(url.path):
        raise RefusedError(f"HTTP status code: 401, a redirect to {url.scheme}://{url.netloc}{url.path}")
    return target


def _renewal(url: str) -> float:
    expiry = expiry_of(url)
    if expiry is None:
        return time.monotonic() + _KEPT_SECONDS
    lifetime = (expiry - datetime.now(UTC)).total_seconds()
    return time.monotonic() + lifetime - min(_MARGIN, lifetime / 2)


def _origin(href: str) -> str:
    url = urlsplit(href)
    return f"{url.scheme}://{url.netloc}"
