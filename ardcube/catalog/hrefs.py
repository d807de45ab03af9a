"""Hrefs and catalogue addresses: local files and URLs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit


def is_remote(href: str) -> bool:
    """Whether an href is a URL and not a path of this machine."""
    try:
        return len(urlsplit(href).scheme) > 1 and not href.startswith("file:")
    except ValueError:  # as of http://[, which is no path either
        return True


HTTP = ("http", "https")


OBJECT_STORES = ("s3", "gs", "az", "oss")
"""Schemes of buckets, which GDAL knows how to reach."""


_PLAIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*(%[a-z0-9._-]+)?")
"""Others, such as 169%2e254.169.254, are decoded by some parsers and not by others."""


_NOT_IN_A_URL = re.compile(r"[\x00-\x1f\x7f\\]|^ | $")
"""What one parser of URLs takes for another thing than the next one does."""


def local_file(href: str) -> str | None:
    """The path of this machine that an href means, or None for another address."""
    if href.startswith("/"):
        return os.path.normpath(href)
    if href.startswith("file:"):
        href = unquote(href.removeprefix("file:").removeprefix("//").removeprefix("localhost"))
    return None if is_remote(href) else os.path.normpath(href if href.startswith("/") else f"{Path.cwd()}/{href}")


def split(href: str) -> SplitResult | None:
    """The parts of a URL; None for one that parsers may disagree on."""
    try:
        parts = urlsplit(href)
        if _NOT_IN_A_URL.search(href) or (parts.scheme in HTTP and not _PLAIN_HOST.fullmatch(parts.hostname or "")):
            return None
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts
