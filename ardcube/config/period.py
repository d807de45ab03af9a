"""Kinds of periods by their text: months, days, seasons, years, or the rows of a file (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Self

MOST_MONTHS = 24
MOST_DAYS = 183
"""Days of a period at most, so that a year has at least two."""
_FILE = r"[^\x00-\x1f]+\.[cC][sS][vV]"
FORM_PATTERN = (
    r"^ *(([1-9]|1[0-9]|2[0-4])[mM]|([1-9]|[1-9][0-9]|1[0-7][0-9]|18[0-3])[dD]|[sS][eE][aA][sS][oO][nN]|"
    rf"[yY][eE][aA][rR]|{_FILE}) *$"
)
"""Regular expression for the texts that are periods."""
_LENGTH = re.compile(r"([1-9][0-9]{0,2})([MD])")


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """How the time axis of a cube is divided."""

    kind: Literal["months", "days", "season", "year", "file"]
    length: int = 1
    """Months or days of a period."""
    file: str = ""
    """Path of the file of periods."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a text such as ``1M``, ``10D``, ``season``, ``year`` or ``rolling.csv``.

        Raises
        ------
        ValueError
            If the text is none of them.
        """
        given = text.strip(" ")
        if re.fullmatch(_FILE, given):
            return cls("file", file=given)
        if given.lower() == "season":
            return cls("season", 3)
        if given.lower() == "year":
            return cls("year", 12)
        match = _LENGTH.fullmatch(given.upper())
        length, unit = (int(match[1]), match[2]) if match else (0, "")
        if unit == "M" and 1 <= length <= MOST_MONTHS:
            return cls("months", length)
        if unit == "D" and 1 <= length <= MOST_DAYS:
            return cls("days", length)
        raise ValueError(
            f"{text!r:.100} is none; choose from 1M to {MOST_MONTHS}M, 1D to {MOST_DAYS}D, season, year, or the path "
            f"of a .csv file of first and last days"
        )

    @property
    def has_days(self) -> bool:
        """Whether periods may begin on any day; otherwise they are of whole months."""
        return self.kind in ("days", "file")

    @property
    def name(self) -> str:
        """Text of the rule without the folder of its file, such as ``10D``."""
        return PurePath(self.file).name if self.kind == "file" else str(self)

    @property
    def identity(self) -> str:
        """Text in the identity of a cube; a file may be moved, and rows may be added to it."""
        return "file" if self.kind == "file" else str(self)

    def __str__(self) -> str:
        if self.kind == "file":
            return self.file
        return f"{self.length}{self.kind[0].upper()}" if self.kind in ("months", "days") else self.kind


def has_days(text: str) -> bool:
    """Return whether periods of a stored text may begin on any day; False for a text that is none."""
    try:
        return PeriodRule.parse(text).has_days
    except ValueError:
        return False
