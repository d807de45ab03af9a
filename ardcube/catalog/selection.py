"""Items of a catalogue that a cube selects: by months of the year and by comparisons with properties."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from itertools import islice
from typing import Any, Protocol

from ardcube.catalog.bands import in_one_line
from ardcube.catalog.malformed import MALFORMED, Item
from ardcube.catalog.scene import grow_bounds
from ardcube.config.selection import Comparison
from ardcube.errors import InputError
from ardcube.extent.periods import Period

_ITEMS_LOOKED_AT = 50
"""Items that are looked at to find out which properties they have."""
_QUERY_NAMES = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "=": "eq", "!=": "neq"}
"""Operators of STAC's query extension."""


class _Searchable(Protocol):
    @property
    def collection(self) -> Item | None: ...

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterable[Item]: ...


@dataclass(frozen=True, slots=True)
class SelectedCatalog:
    """A catalogue without the items that a cube does not select.

    An API may have applied the comparisons before. They are applied here in any case, because not every API does, and
    those that do may treat missing properties in another way. An item without the property is not selected.
    """

    catalog: _Searchable
    comparisons: Sequence[Comparison]
    months: Collection[int]
    """Months of the year, 1 to 12; empty for all."""

    @property
    def collection(self) -> Item | None:
        """Collection document, or None if the catalogue has none."""
        return self.catalog.collection

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Return the selected items of the catalogue's own search."""
        return (item for item in self.catalog.search(bounds, start, end) if self._selects(item))

    def _selects(self, item: Item) -> bool:
        properties = item.get("properties")
        if not isinstance(properties, Mapping):
            return True  # parsing the item reports the problem
        return self._is_in_months(properties) and all(one.holds(properties) for one in self.comparisons)

    def _is_in_months(self, properties: Mapping[str, Any]) -> bool:
        try:
            when = datetime.fromisoformat(properties.get("datetime") or properties["start_datetime"])
        except MALFORMED:
            return True  # parsing the item reports the problem
        return not self.months or (when if when.tzinfo is None else when.astimezone(UTC)).month in self.months


def query_of(comparisons: Sequence[Comparison]) -> dict[str, dict[str, Any]]:
    """Return comparisons as STAC's query extension writes them."""
    query: dict[str, dict[str, Any]] = {}
    for one in comparisons:
        query.setdefault(one.name, {})[_QUERY_NAMES[one.sign]] = one.value
    return query


def check_properties(
    catalog: _Searchable,
    comparisons: Sequence[Comparison],
    bounds: tuple[float, float, float, float],
    periods: Sequence[Period],
    collection: str = "",
) -> None:
    """Raise InputError if none of the first items has a property that is compared.

    Parameters
    ----------
    catalog : catalogue
        Without the comparisons.
    comparisons : sequence of Comparison
        Of the request.
    bounds : tuple of float
        Area of the cube: west, south, east, north in degrees.
    periods : sequence of Period
        Periods of the cube.
    collection : str
        Id of the collection, if the cube has several.
    """
    if not comparisons:
        return
    start, end = (datetime.combine(day, time(), UTC) for day in (periods[0].start, periods[-1].end))
    items = islice(catalog.search(grow_bounds(bounds), start, end), _ITEMS_LOOKED_AT)
    of = f" of collection {collection}" if collection else ""
    properties = [found for item in items if isinstance(found := item.get("properties"), Mapping)]
    for one in comparisons:
        if properties and not any(one.name in found for found in properties):
            known = sorted({name for found in properties for name in found})
            raise InputError(
                f"query {str(one)!r}: none of the first {len(properties)} items{of} has the property {one.name}; "
                f"choose from {in_one_line(known)}"
            )
