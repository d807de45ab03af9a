"""Parse hrefs and catalogue addresses: local paths and URLs (pure)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

HTTP = ("http", "https")
OBJECT_STORES = ("s3", "gs", "az", "oss")
"""Schemes of object stores that GDAL can read."""

_PLAIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*(%[a-z0-9._-]+)?")
"""Host names that all URL parsers read alike; some parsers decode 169%2e254.169.254, others do not."""
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f\\]|^ | $")
"""Characters that URL parsers treat differently."""


def is_remote(href: str) -> bool:
    """Return whether an href is a URL, not a path of this machine."""
    try:
        return len(urlsplit(href).scheme) > 1 and not href.startswith("file:")
    except ValueError:  # raised for "http://[", which is not a path either
        return True


def local_file(href: str) -> str | None:
    """Return the absolute path that an href names, or None if it is a URL."""
    if href.startswith("/"):
        return os.path.normpath(href)
    if href.startswith("file:"):
        href = unquote(href.removeprefix("file:").removeprefix("//").removeprefix("localhost"))
    return None if is_remote(href) else os.path.normpath(href if href.startswith("/") else f"{Path.cwd()}/{href}")


def resolve_hrefs(item: dict[str, Any], resolve: Callable[[str], str]) -> None:
    """Replace the href of each asset of an item; malformed assets are left to the parser of the item."""
    assets = item.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            asset["href"] = resolve(asset["href"])


def split(href: str) -> SplitResult | None:
    """Split a URL into its components; return None if URL parsers may disagree about them."""
    try:
        url = urlsplit(href)
        if _AMBIGUOUS.search(href) or (url.scheme in HTTP and not _PLAIN_HOST.fullmatch(url.hostname or "")):
            return None
        _ = url.port  # raises ValueError if it is not a number
    except ValueError:
        return None
    return url
