"""Decide what a refused request for a file means: no access to the archive, or one missing file.

S3 answers 403 for a key that does not exist if the bucket cannot be listed. A refusal therefore means a missing file
if this process has read other files of that host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from ardcube.catalog.hrefs import split
from ardcube.errors import AccessError, SceneError

_MOST_MISSING = 50
"""Different files of a host that may be refused in succession and count as missing."""
_SIGNATURE = re.compile(r"[?&](sig|signature|x-(amz|goog)-signature|token|access_token|sv)=", re.IGNORECASE)
"""Parameters of a signed URL. Its files exist, because a catalogue signs what it has."""
_CREDENTIALS = re.compile(
    r"Expired|InvalidAccessKeyId|InvalidToken|SignatureDoesNotMatch|InvalidCredentials|[Aa]ccess [Kk]ey|[Cc]redentials"
    r"|code: 401\b|Unauthorized|AuthenticationFailed"
)
"""Texts of answers about credentials, not about a file."""

_STATUS = re.compile(r"code: (40[13])\b")


class RefusedError(Exception):
    """A server refuses a request for a file (401, 403).

    Parameters
    ----------
    reason : str
        Answer of the server, in one line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def status(self) -> str:
        """The status of the answer if it is known, else the answer: the same words from both readers."""
        found = _STATUS.search(self.reason)
        return f"HTTP {found[1]}" if found else self.reason


_refused: dict[str, set[str] | None] = {}
"""By host: the files that were refused since a file was read; None if none was read."""
_lock = Lock()


def note_readable(href: str) -> None:
    """Remember that this process can read files of a host."""
    with _lock:
        _refused[_host(href)] = set()


def is_readable(href: str) -> bool:
    """Return whether this process has read a file of the same host, and most others since."""
    with _lock:
        refused = _refused.get(_host(href))
        return refused is not None and len(refused) <= _MOST_MISSING


def explain_refusal(href: str, reason: str, advice: str = "") -> AccessError | SceneError:
    """Return the error for a file whose request was refused (401, 403, permission denied).

    Parameters
    ----------
    href : str
        Address of the file.
    reason : str
        Answer of the server, in one line.
    advice : str
        What to do; by default the advice for the scheme of the address.
    """
    about_credentials = bool(_CREDENTIALS.search(reason))
    reason = RefusedError(reason).status
    with _lock:
        refused = _refused.get(_host(href))
        if refused is not None:
            refused.add(href)
        known = refused is not None and len(refused) <= _MOST_MISSING
    if is_signed(href):
        return AccessError(
            f"{href} cannot be read: access is refused ({reason}), {_age(href)}; run ardcube build with the same "
            "options: it fetches new addresses, and ardcube retry uses those of the last search"
        )
    if known and not about_credentials:
        return SceneError(f"{href} cannot be read: access to this file is refused ({reason}), as for a missing file")
    error = AccessError(f"{href} cannot be read: access is refused ({reason}); {advice or _advice(href)}")
    error.may_be_missing = refused is None and not about_credentials
    return error


def _age(href: str) -> str:
    """Return whether the signature of an address has expired, as far as the address states it."""
    expiry = expiry_of(href)
    if expiry is not None and expiry < datetime.now(UTC):
        return f"the address expired at {expiry:%Y-%m-%d %H:%M} UTC"
    return "the address may have expired"


def is_signed(href: str) -> bool:
    """Return whether the query of an address contains a signature."""
    return bool(_SIGNATURE.search(href))


def expiry_of(href: str) -> datetime | None:
    """Return when the signature of an address expires, UTC, or None if the address does not state it."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(href).query)}
    with suppress(ValueError, OverflowError, OSError):
        return _expiry(query)
    return None


def _expiry(query: Mapping[str, str]) -> datetime | None:
    """Return when a signature expires by the parameters of Azure, of AWS and Google, or of CloudFront."""
    if "se" in query:
        expiry = datetime.fromisoformat(query["se"])
        return expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)
    for name in ("x-amz", "x-goog"):
        if f"{name}-date" in query and f"{name}-expires" in query:
            signed = datetime.strptime(query[f"{name}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return signed + timedelta(seconds=int(query[f"{name}-expires"]))
    return datetime.fromtimestamp(int(query["expires"]), UTC) if "expires" in query else None


def _advice(href: str) -> str:
    scheme = getattr(split(href), "scheme", "")
    if scheme == "s3":
        return "set asset-access to signed or requester-pays, and AWS credentials in the environment"
    if scheme in ("gs", "az", "oss"):
        return f"set the credentials of {scheme}:// in the environment, and asset-access to signed"
    if scheme:
        return "choose a catalogue whose addresses are public or signed, or sign them with the token of the provider"
    return "allow this user to read the file"


def _host(href: str) -> str:
    url = split(href)
    return f"{url.scheme}://{url.netloc}" if url is not None and len(url.scheme) > 1 else ""
