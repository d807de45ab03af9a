"""Texts without what must not be read by all: the query of a signed URL, a user's password in an address (pure)."""

from __future__ import annotations

import logging
import re

HIDDEN = "***"
# What is redacted may come from others, so no text may take long: no pattern goes over it again and again.
_QUERY = re.compile(r"(://[^\s?'\"<>|]+)(\?[^\s'\"<>|)\]}]+)?")
"""Signatures, tokens and keys stand there: of S3, of Azure, of most data providers."""
_USER = re.compile(r"(://)[^\s/'\"<>]+@")
"""A password may hold an @ itself."""
_NAMED = re.compile(
    r"((?:secret|token|passw(?:or)?d|passphrase|credential|signature|authorization|(?:account|access|api)[_-]?key)"
    r"[a-z_\-]{0,40}['\"]?\s*[:=]\s*(?:b?['\"])?)"
    r"(?:(?<=')[^']+|(?<=\")[^\"]+|(?:(?:bearer|basic)\s+)?[^\s,'\"&)}\]]+)",
    re.IGNORECASE,
)
SECRET_NAMES = r"secret|token|passw|passphrase|credential|authorization|(account|access|api|subscription)[_-]?key"
"""Regular expression of what names of parameters hold whose values are for nobody."""
CREDENTIAL_IN_ADDRESS = (
    r"https?:/+[^/?#\s]*@"  # a user alone is a token there; abfs://container@account is none
    r"|://(?!\[)[^/?#@:\s]*:(?!\d*([/?#]|$))[^?#\s]{0,500}@"
    r"|[?&;#]([^=?&;#]{0,80}[-_.])?(key|sig|sas|auth|pwd)="
    rf"|[?&;#][^=?&;#]{{0,80}}({SECRET_NAMES}|signature)[^=?&;#]{{0,80}}="
)
"""Regular expression, of JSON schema too, of addresses with a user's password, or a parameter named like a secret.

Its repetitions are bounded, so that no text takes long.
"""


def without_secrets(text: str) -> str:
    """A text whose URLs have no query and no user, and whose `secret=...` have no value.

    Parameters
    ----------
    text : str
        An error or a line of a log; whatever a library put into it.
    """
    text = _QUERY.sub(lambda found: f"{found[1]}?{HIDDEN}" if found[2] else found[1], text)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def hide_secrets(record: logging.LogRecord) -> bool:
    """Take the secrets out of a record, as the filter of a logger of others."""
    record.msg, record.args = without_secrets(record.getMessage()), None
    return True


class WithoutSecrets(logging.Formatter):
    """What a handler writes, tracebacks included, without secrets: libraries log the headers that they send."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        return without_secrets(super().format(record))
