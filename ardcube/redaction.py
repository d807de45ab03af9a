"""Texts without what must not be read by all: the query of a signed URL, a user's password in an address (pure)."""

from __future__ import annotations

import re

HIDDEN = "***"
_QUERY = re.compile(r"([a-z][a-z0-9+.\-]*://[^\s?'\"<>|]+)\?[^\s'\"<>|)\]}]+", re.IGNORECASE)
"""Signatures, tokens and keys stand there: of S3, of Azure, of most data providers."""
_USER = re.compile(r"([a-z][a-z0-9+.\-]*://)[^\s/@'\"<>]+@", re.IGNORECASE)
_NAMED = re.compile(
    r"((?:secret|token|passw(?:or)?d|passphrase|credential|signature|authorization|(?:account|access|api)[_-]?key)"
    r"[a-z_\-]*['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic)\s+)?[^\s,'\"&)}\]]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """A text whose URLs have no query and no user, and whose `secret=...` have no value.

    Parameters
    ----------
    text : str
        An error or a line of a log; whatever a library put into it.
    """
    text = _QUERY.sub(rf"\1?{HIDDEN}", text)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)
