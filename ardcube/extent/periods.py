"""Half-open calendar periods of whole months."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Period:
    """One step of the cube's time axis, half-open."""

    index: int
    """Position on the time axis, from 0."""
    start: date
    """First day: the first of a month."""
    end: date
    """First day after the period: the first of a month."""

    @property
    def label(self) -> str:
        """Start month, such as ``2023-01``."""
        return f"{self.start:%Y-%m}"


def calendar_periods(start: date, end: date, months: int, kept: Collection[int] = ()) -> tuple[Period, ...]:
    """Split the months from `start` to `end`, both included, into periods of `months` months.

    Parameters
    ----------
    start, end : date
        Everything but year and month is ignored.
    months : int
        Length of a period in months, at least 1. The last period is clipped to the end month.
    kept : collection of int
        Months of the year, 1 to 12. Periods without such a month are left out. Empty keeps all.

    Returns
    -------
    tuple of Period
        In order, without overlap; without gap if all months are kept.

    Raises
    ------
    ValueError
        If the month of `end` is before that of `start`, `months` is below 1, or no period is kept.
    """
    first, stop = _ordinal(start), _ordinal(end) + 1
    if stop <= first or months < 1:
        raise ValueError(f"no period of {months} months between {start:%Y-%m} and {end:%Y-%m}")
    spans = [(month, min(month + months, stop)) for month in range(first, stop, months)]
    if kept:
        spans = [span for span in spans if any(month % 12 + 1 in kept for month in range(*span))]
    if not spans:
        raise ValueError(f"no period between {start:%Y-%m} and {end:%Y-%m} has one of the months {sorted(kept)}")
    return tuple(Period(index, *map(_first_day, span)) for index, span in enumerate(spans))


def _ordinal(day: date) -> int:
    return day.year * 12 + day.month - 1


def _first_day(ordinal: int) -> date:
    return date(ordinal // 12, ordinal % 12 + 1, 1)
