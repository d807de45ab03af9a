"""Half-open calendar periods of whole months."""

from __future__ import annotations

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


def calendar_periods(start: date, end: date, months: int) -> tuple[Period, ...]:
    """Split the months from `start` to `end`, both included, into periods of `months` months.

    Parameters
    ----------
    start, end : date
        Everything but year and month is ignored.
    months : int
        Length of a period in months, at least 1. The last period is clipped to the end month.

    Returns
    -------
    tuple of Period
        In order, without gap or overlap.

    Raises
    ------
    ValueError
        If the month of `end` is before that of `start`, or `months` is below 1.
    """
    first, stop = _ordinal(start), _ordinal(end) + 1
    if stop <= first or months < 1:
        raise ValueError(f"no period of {months} months between {start:%Y-%m} and {end:%Y-%m}")
    return tuple(
        Period(index, _first_day(month), _first_day(min(month + months, stop)))
        for index, month in enumerate(range(first, stop, months))
    )


def _ordinal(day: date) -> int:
    return day.year * 12 + day.month - 1


def _first_day(ordinal: int) -> date:
    return date(ordinal // 12, ordinal % 12 + 1, 1)
