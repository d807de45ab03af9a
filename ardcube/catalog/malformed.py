"""Errors raised by STAC documents that do not follow the specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shapely

Item = Mapping[str, Any]
"""A STAC item or collection as parsed JSON."""
MALFORMED = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, shapely.errors.ShapelyError,
)  # fmt: skip
"""Exceptions that reading a document of the wrong structure raises."""


def describe(error: BaseException) -> str:
    """Describe an error of `MALFORMED` in one line; its own text may quote the whole document."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def printable_id(item: Item) -> str:
    """Return an item's id for a message, even if it is missing or not a text."""
    found = item.get("id") if isinstance(item, Mapping) else None
    if not isinstance(found, str):
        return "without an id"
    return " ".join(found.split())[:200].encode(errors="backslashreplace").decode()
