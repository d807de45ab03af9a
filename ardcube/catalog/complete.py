"""Count the items of a search, and compare them with the number that the server matched (pure)."""

from __future__ import annotations

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
        self._repeats_a_page = False

    def add(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Count a page, and return its items that belong to the collection."""
        own = [item for item in page["features"] if item.get("collection") in (self._collection, None)]
        self._foreign += len(page["features"]) - len(own)
        ids = {item["id"] for item in own}
        known = len(ids & self._ids)
        self._overlap += known
        self._repeats_a_page |= bool(ids) and known == len(ids)
        self._ids |= ids
        self._stated |= _matched(page)
        return list({item["id"]: item for item in own}.values())

    def problem(self, found: int) -> str | None:
        """Return why items may be missing after the last page, or None if the search is complete.

        Parameters
        ----------
        found : int
            Unique items of this search and of its earlier attempts.
        """
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
                f"the server returns {count} different items{others}, {self._overlap} of them on more than one page, "
                "and states no number of matched items, so others may be missing"
            )
        return None


def _matched(page: dict[str, Any]) -> set[int]:
    """Return the numbers of matched items that a page states: `numberMatched`, or `matched` of its context."""
    context = page.get("context")
    numbers = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return {number for number in numbers if type(number) is int}
