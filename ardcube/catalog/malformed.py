"""STAC documents that are not as the specification says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shapely

Item = Mapping[str, Any]
"""A STAC item or collection as parsed JSON."""


MALFORMED = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, shapely.errors.ShapelyError,
)  # fmt: skip
"""What reading a document raises that is not of the shape it should be: whoever wrote it, it is not ours."""


def what_is_wrong(error: BaseException) -> str:
    """An error of `MALFORMED` in brief: it may quote all that it met."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def printable_id(item: Item) -> str:
    """The id of an item that may have none, for a message."""
    found = item.get("id") if isinstance(item, Mapping) else None
    if not isinstance(found, str):
        return "without an id"
    return " ".join(found.split())[:200].encode(errors="backslashreplace").decode()
