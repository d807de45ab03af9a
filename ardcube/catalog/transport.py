"""HTTP transport for STAC APIs: bounded retries, checked addresses, no local files."""

from __future__ import annotations

from typing import Any

import pystac
import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import MaxRetryError

from ardcube.catalog.access import AccessPolicy
from ardcube.redaction import without_secrets

_LONGEST_WAIT = 60.0
"""Seconds: upper bound of a server's Retry-After."""


class _BoundedRetry(Retry):
    """Retry that waits at most `_LONGEST_WAIT`, even if the server asks for an hour."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return the seconds to wait."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, _LONGEST_WAIT)


RETRY = _BoundedRetry(
    total=5,
    read=2,  # few, because a server that does not answer takes half a minute each time
    backoff_factor=0.5,
    backoff_jitter=0.5,
    # Without 500: Earth Search answers it to a page that is too large, so a smaller page is requested instead.
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,
    respect_retry_after_header=True,
)
RETRY_AT_OPEN = RETRY.new(connect=1)
"""Retries of the first request. An address where nothing listens is most likely a mistake, so it fails at once."""


class HttpIO(StacApiIO):
    """StacApiIO that reads http(s) URLs only; the base class opens any other link as a local file."""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Read the document at a URL or link."""
        if not isinstance(source, pystac.Link) and not str(source).startswith(("http://", "https://")):
            raise pystac.STACError(f"link {str(source)!r:.100} is not an http(s) URL")
        return super().read_text(source, *args, **kwargs)


class _CheckedAdapter(HTTPAdapter):
    """Transport that sends no request to an address that the policy forbids; redirects pass through it too."""

    def __init__(self, policy: AccessPolicy, retries: Retry) -> None:
        self.policy = policy
        super().__init__(max_retries=retries)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request if its address is allowed."""
        problem = self.policy.find_problem(request.url or "")
        if problem:
            raise _ForbiddenAddressError(f"its answer leads to {without_secrets(request.url or '')}, {problem}")
        return super().send(request, *args, **kwargs)


class _ForbiddenAddressError(requests.RequestException):
    """A link or redirect leads to an address that the policy forbids."""


def is_forbidden_address(error: BaseException | None) -> bool:
    """Return whether the policy stopped a request, from the exception and those that it wraps."""
    while error is not None and not isinstance(error, _ForbiddenAddressError):
        error = error.__cause__ or error.__context__
    return error is not None


def access_refused(error: BaseException) -> str | None:
    """Return problem and remedy if a STAC API refused access (HTTP 401 or 403), else None."""
    status = getattr(error, "status_code", None)
    if status not in (401, 403):
        return None
    return (
        f"access refused (HTTP {status}); ardcube sends no token or API key to a catalogue: give the address of a "
        "public one, or put user and password for its host into ~/.netrc (or the file that NETRC names)"
    )


def mount(io: StacApiIO, policy: AccessPolicy, retries: Retry) -> None:
    """Let all requests of a client pass the policy, with retries."""
    for scheme in ("http://", "https://"):
        io.session.mount(scheme, _CheckedAdapter(policy, retries))


def reason(error: BaseException) -> str:
    """Return the text of the innermost error; those of urllib3 and requests around it lack the cause."""
    while isinstance(error, (APIError, requests.RequestException, MaxRetryError)):
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__ or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
