"""Count the items of a search, and compare them with the number that the server matched (pure)."""

from __future__ import annotations

import math
from typing import Any


class SearchCount:
    """Items of one search, page by page.

    Parameters
    ----------
    collection : str or None
        Id of the collection that was searched. Items of other collections are left out and not counted.
    """

    def __init__(self, collection: str | None) -> None:
        self._collection = collection
        self._ids: set[str] = set()
        self._foreign = 0
        self._overlap = 0
        self._stated: set[int] = set()
        self._unreadable = ""
        self._repeats_a_page = False

    def add(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Count a page, and return its items that belong to the collection."""
        own = [item for item in page["features"] if item.get("collection") in (self._collection, None)]
        self._foreign += len(page["features"]) - len(own)
        ids = {item["id"] for item in own}
        self._overlap += len(own) - len(ids - self._ids)
        self._repeats_a_page |= bool(ids) and ids <= self._ids
        self._ids |= ids
        for stated in _matched(page):
            number = _as_number(stated)
            if number is None:
                self._unreadable = f"{stated!r:.50}"
            else:
                self._stated.add(number)
        return list({item["id"]: item for item in own}.values())

    def problem(self, found: int) -> str | None:
        """Return why items may be missing after the last page, or None if the search is complete.

        Parameters
        ----------
        found : int
            Unique items of this search and of its earlier attempts.
        """
        if self._unreadable:
            return f"the server states {self._unreadable} as the number of matched items, which is no number"
        count, others = len(self._ids), f" and {self._foreign} of other collections" if self._foreign else ""
        if len(self._stated) > 1:
            numbers = " and ".join(map(str, sorted(self._stated)[:5]))
            return f"the number of matched items changes between pages ({numbers})"
        if self._stated & {count, found}:
            return None
        repeats = ", and repeats a page" if self._repeats_a_page else ", and its pages overlap" if self._overlap else ""
        if self._stated:
            (matched,) = self._stated
            return f"the server states {matched} matched items, but returns {count} different ones{others}{repeats}"
        if self._overlap:
            return (
                f"the server returns {count} different items{others}, {self._overlap} of them more than once, "
                "and states no number of matched items, so others may be missing"
            )
        return None


def _matched(page: dict[str, Any]) -> list[Any]:
    """Return what a page states as the number of matched items: `numberMatched`, and `matched` of its context."""
    context = page.get("context")
    stated = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return [value for value in stated if value is not None]


def _as_number(stated: Any) -> int | None:
    """Return a number, which some servers state as text or with decimal places, or None if it is none."""
    try:
        number = float(stated) if type(stated) in (int, float, str) else math.nan
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
