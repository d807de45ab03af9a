"""Selection of scenes: months of every year, and comparisons with properties of items (pure)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

_COMPARISON = re.compile(r"\s*([A-Za-z_][\w:.\-]*)\s*(<=|>=|!=|==|=|<|>)\s*(\S.*?)\s*")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_MONTHS = re.compile(r"(\d{1,2})(?:-(\d{1,2}))?")
_YEAR = 12


@dataclass(frozen=True, slots=True)
class Comparison:
    """A property of an item, compared with a number or a text."""

    name: str
    """Property, such as `eo:cloud_cover`."""
    sign: str
    """One of `<`, `<=`, `>`, `>=`, `=`, `!=`."""
    value: float | str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a comparison such as ``eo:cloud_cover<60``.

        Raises
        ------
        ValueError
            If the text is no comparison, or orders texts.
        """
        match = _COMPARISON.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r:.100} is no comparison; write one such as 'eo:cloud_cover<60'")
        name, sign, value = match[1], match[2].replace("==", "="), _number(match[3])
        if isinstance(value, str) and sign not in ("=", "!="):
            raise ValueError(f"{text!r:.100} orders texts; give a number, or compare with = or !=")
        return cls(name, sign, value)

    def holds(self, properties: Mapping[str, Any]) -> bool:
        """Return whether an item has the property and the comparison is true; a missing property is unknown."""
        found = properties.get(self.name)
        if isinstance(self.value, str):
            return isinstance(found, str) and _OPERATORS[self.sign](found, self.value)
        is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
        return is_number and _OPERATORS[self.sign](found, self.value)

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, str) else repr(self.value).removesuffix(".0")
        return f"{self.name}{self.sign}{value}"


def parse_months(text: str) -> frozenset[int]:
    """Parse months of a year, such as ``5-9``, ``11-2`` or ``3,6-8``.

    Raises
    ------
    ValueError
        If the text names no months.
    """
    months: set[int] = set()
    for part in text.split(","):
        match = _MONTHS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not (1 <= first <= _YEAR and 1 <= last <= _YEAR):
            raise ValueError(f"{text!r:.100} is no range within a year; write 5-9, 11-2 or 3,6-8, where 1 is January")
        months |= {(first - 1 + step) % _YEAR + 1 for step in range((last - first) % _YEAR + 1)}
    return frozenset(months)


def written_months(months: frozenset[int]) -> str | None:
    """Return months as a list, such as ``5,6,7``; None for all months, which are no selection."""
    return ",".join(map(str, sorted(months))) if len(months) < _YEAR else None


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
