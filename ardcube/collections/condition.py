"""Conditions of an item's properties, and texts taken from them (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

Item = Mapping[str, Any]
"""STAC item."""


class Condition(BaseModel):
    """Condition of one property of an item."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    property: str
    """Name of the property."""
    exists: bool | None = None
    """Whether the item has the property."""
    equals: bool | int | float | str | None = None
    """Value of the property."""
    matches: str | None = None
    """Pattern of the property's text, with `*` and `?`; case counts."""
    at_least: str | None = None
    """Version, such as `04.00`: the smallest of the property."""
    below: str | None = None
    """Version that the property does not reach."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields if name != "property"):
            raise ValueError(f"the condition of {self.property} has no exists, equals, matches, at_least or below")
        for name in ("at_least", "below"):
            text = getattr(self, name)
            if text is not None and not version(text):
                raise ValueError(f"{name} {text!r} is not a version such as 04.00")
        return self

    def holds(self, item: Item) -> bool:
        """Return whether an item meets the condition. A property that it lacks meets only `exists = false`."""
        value = (item.get("properties") or {}).get(self.property)
        if self.exists is not None and self.exists != (value is not None):
            return False
        if self.exists is False:
            return True
        if value is None:
            return False
        if self.equals is not None and (type(value) is bool) + (type(self.equals) is bool) == 1:
            return False  # True is 1 in Python
        return (
            (self.equals is None or value == self.equals)
            and (self.matches is None or fnmatchcase(str(value), self.matches))
            and (self.at_least is None or (bool(version(value)) and version(value) >= version(self.at_least)))
            and (self.below is None or (bool(version(value)) and version(value) < version(self.below)))
        )


class Source(BaseModel):
    """A text that is taken from an item: its id, or a property."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    property: str
    """Name of the property; `id` is the id of the item."""
    pattern: str | None = None
    """Regular expression; the text is the groups of its first match, joined. Default: the whole text."""

    @field_validator("pattern")
    @classmethod
    def _pattern_has_groups(cls, value: str | None) -> str | None:
        try:
            if value is not None and not re.compile(value).groups:
                raise ValueError(f"the pattern {value!r} has no group in parentheses")
        except re.error as error:
            raise ValueError(f"the pattern {value!r} is not a regular expression: {error}") from None
        return value

    def text(self, item: Item) -> str:
        """Return the text, or an empty text if the item lacks it."""
        value = item.get("id") if self.property == "id" else (item.get("properties") or {}).get(self.property)
        if value is None or self.pattern is None:
            return "" if value is None else str(value)
        found = re.search(self.pattern, str(value))
        return "" if found is None else "".join(group or "" for group in found.groups())


def version(value: Any) -> tuple[int, ...]:
    """Return the numbers of a version: (4, 0) for `04.00`; empty if it has another form."""
    return _numbers(str(value))


@lru_cache(maxsize=256)
def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d{1,6}(\.\d{1,6}){0,3}", text) else ()
