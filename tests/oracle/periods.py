"""Periods of the oracle: each day gets the name of its period, and days of one name are a period."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import date, timedelta

DAY = timedelta(days=1)


def days_of_year(length: int) -> Callable[[date], Hashable]:
    """Name a day by its year and its number of whole periods since January 1st; a rest below a half is no period."""

    def name(day: date) -> Hashable:
        days = date(day.year, 12, 31).timetuple().tm_yday
        most, rest = divmod(days, length)
        numbers = most + (1 if rest >= length / 2 else 0)
        return day.year, min((day.timetuple().tm_yday - 1) // length, max(numbers, 1) - 1)

    return name


def season(day: date) -> Hashable:
    """Name a day by its season; December belongs to the next year."""
    names = ["DJF"] * 2 + ["MAM"] * 3 + ["JJA"] * 3 + ["SON"] * 3 + ["DJF"]
    return day.year + (day.month == 12), names[day.month - 1]


def year(day: date) -> Hashable:
    """Name a day by its year."""
    return day.year


def named_periods(start: date, last: date, name: Callable[[date], Hashable]) -> list[tuple[date, date]]:
    """Half-open periods from the first day that has the name of `start` to `last`."""
    while name(start - DAY) == name(start):
        start -= DAY
    firsts = [start]
    day = start
    while day < last:
        day += DAY
        if name(day) != name(day - DAY):
            firsts.append(day)
    return list(zip(firsts, [*firsts[1:], last + DAY], strict=True))
