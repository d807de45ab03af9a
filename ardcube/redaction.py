"""Redact secrets in texts: queries of signed URLs, passwords in addresses, values with names of secrets (pure)."""

from __future__ import annotations

import logging
import re

HIDDEN = "***"
# Texts may be hostile, so each pattern passes over a text once: nested repetition would take seconds.
_QUERY = re.compile(r"(://[^\s?'\"<>|]+)(\?[^\s'\"<>|)\]}]+)?")
"""Query of a URL, which may contain signatures, tokens and keys of S3, Azure and data providers."""
_USER = re.compile(r"(://)[^\s/'\"<>]+@")
"""User of a URL; the greedy match includes an @ in the password."""
_NAMED = re.compile(
    r"((?:secret|token|passw(?:or)?d|passphrase|credential|signature|authorization|(?:account|access|api)[_-]?key)"
    r"[a-z_\-]{0,40}(?<!error)['\"]?\s*[:=]\s*(?:b?['\"])?)"
    r"(?:(?<=')[^']+|(?<=\")[^\"]+|(?:(?:bearer|basic)\s+)?[^\s,'\"&)}\]]+)",
    re.IGNORECASE,
)
SECRET_NAMES = r"secret|token|passw|passphrase|credential|authorization|(account|access|api|subscription)[_-]?key"
"""Regular expression for names of secret parameters."""
CREDENTIAL_IN_ADDRESS = (
    r"https?:/+[^/?#\s]*@"  # with http a user alone is a token; in abfs://container@account it is not
    r"|://(?!\[)[^/?#@:\s]*:(?!\d*([/?#]|$))[^?#\s]{0,500}@"
    r"|[?&;#]([^=?&;#]{0,80}[-_.])?(key|sig|sas|auth|pwd)="
    rf"|[?&;#][^=?&;#]{{0,80}}({SECRET_NAMES}|signature)[^=?&;#]{{0,80}}="
)
"""Regular expression, also for JSON schema, for addresses with a password or a secret parameter.

Its repetitions are bounded, so that matching a long text stays fast.
"""


def without_secrets(text: str) -> str:
    """Replace queries and users of URLs, and values such as that of `secret=...`, by `***`.

    Parameters
    ----------
    text : str
        An error message or a log line, including parts from libraries.
    """
    text = _QUERY.sub(lambda found: f"{found[1]}?{HIDDEN}" if found[2] else found[1], text)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def hide_secrets(record: logging.LogRecord) -> bool:
    """Redact a log record; used as a filter of library loggers."""
    record.msg, record.args = without_secrets(record.getMessage()), None
    return True


class WithoutSecrets(logging.Formatter):
    """Formatter that redacts messages and tracebacks, because libraries log the headers that they send."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as redacted text."""
        return without_secrets(super().format(record))
