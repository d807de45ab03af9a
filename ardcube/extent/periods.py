"""Half-open periods: whole months, seasons, years, numbers of days, or given ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ardcube.config.period import PeriodRule

Span = tuple[date, date]
"""First day, and first day after."""

MOST_PERIODS = 4096
"""Periods that a cube has at most: eleven years of days."""
_DAY = timedelta(days=1)
_ANCHORS = {"season": 11, "year": 0}
"""Month, counted from 0, in which periods that are counted from a fixed month begin."""


@dataclass(frozen=True, slots=True)
class Period:
    """One step of the cube's time axis, half-open."""

    index: int
    """Position on the time axis, from 0."""
    start: date
    """First day."""
    end: date
    """First day after the period."""
    has_days: bool = False
    """Whether periods of the cube may begin on any day; otherwise they begin with a month."""

    @property
    def label(self) -> str:
        """Start month, such as ``2023-01``; start day, such as ``2023-01-11``, if periods begin on any day."""
        return self._text(self.start)

    @property
    def end_label(self) -> str:
        """First month or day after the period, as in `label`."""
        return self._text(self.end)

    @property
    def days(self) -> str:
        """First and last day, such as ``2023-01-01 to 2023-01-31``."""
        return f"{self.start} to {self.end - _DAY}"

    def _text(self, day: date) -> str:
        return f"{day:%Y-%m-%d}" if self.has_days else f"{day:%Y-%m}"


def calendar_periods(
    start: date, end: date, months: int, kept: Collection[int] = (), anchor: int | None = None
) -> tuple[Period, ...]:
    """Split the months from `start` to `end`, both included, into periods of `months` months.

    Parameters
    ----------
    start, end : date
        Everything but year and month is ignored.
    months : int
        Length of a period in months, at least 1. The last period is clipped to the end month.
    kept : collection of int
        Months of the year, 1 to 12. Periods without such a month are left out. Empty keeps all.
    anchor : int, optional
        Month of the year, from 0, from which periods are counted. The first one then contains `start`. Default: the
        month of `start`.

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
    if anchor is not None:
        first -= (first - anchor) % months
    if first < _FIRST_MONTH:
        raise ValueError(f"the period of {start:%Y-%m} begins before the calendar")
    spans = [(month, min(month + months, stop)) for month in range(first, stop, months)]
    if kept:
        spans = [span for span in spans if any(month % 12 + 1 in kept for month in range(*span))]
    if not spans:
        raise ValueError(f"no period between {start:%Y-%m} and {end:%Y-%m} has one of the months {sorted(kept)}")
    return tuple(Period(index, _first_day(first), _first_day(after)) for index, (first, after) in enumerate(spans))


def day_periods(start: date, end: date, days: int, kept: Collection[int] = ()) -> tuple[Period, ...]:
    """Split the days from `start` to `end`, both included, into periods of `days` days, counted from January 1st.

    Each year begins with a new period, as 8 and 16 days of MODIS do. The rest of a year is a period if it has at least
    half of the days. Otherwise it belongs to the period before.

    Parameters
    ----------
    start, end : date
        The first period contains `start`. The last one is clipped to `end`.
    days : int
        Length of a period in days, at least 1.
    kept : collection of int
        Months of the year, 1 to 12. Periods without a day in such a month are left out. Empty keeps all.

    Raises
    ------
    ValueError
        If `end` is before `start`, `days` is below 1, there are more than `MOST_PERIODS` periods, or none is kept.
    """
    stop = end + _DAY
    if stop <= start or days < 1:
        raise ValueError(f"no period of {days} days between {start} and {end}")
    if (stop - start).days // days > MOST_PERIODS:
        raise ValueError(f"{days} days from {start} to {end} are more than {MOST_PERIODS} periods")
    spans = [(first, min(after, stop)) for first, after in _spans_of_days(start, end, days)]
    return _kept(spans, kept)


def listed_periods(spans: Sequence[Span], start: date, end: date, kept: Collection[int] = ()) -> tuple[Period, ...]:
    """Return those of given periods that are within the days from `start` to `end`, both included.

    Parameters
    ----------
    spans : sequence of (date, date)
        Half-open periods in order, which may overlap.
    start, end : date
        First and last day of the cube.
    kept : collection of int
        Months of the year, 1 to 12. Periods without a day in such a month are left out. Empty keeps all.

    Raises
    ------
    ValueError
        If no period is left.
    """
    within = [span for span in spans if start <= span[0] and span[1] - _DAY <= end]
    if not within:
        raise ValueError(f"no period of the file is within {start} to {end}")
    return _kept(within, kept)


def periods_of(
    rule: PeriodRule, start: date, end: date, kept: Collection[int] = (), listed: Sequence[Span] = ()
) -> tuple[Period, ...]:
    """Return the periods of a cube.

    Parameters
    ----------
    rule : PeriodRule
        Kind of the periods.
    start, end : date
        First and last day of the cube; of months, seasons and years, days are ignored.
    kept : collection of int
        Months of the year, 1 to 12. Periods without such a month are left out. Empty keeps all.
    listed : sequence of (date, date)
        Half-open periods of the file, for a rule of a file.

    Raises
    ------
    ValueError
        If there is no period, or there are too many.
    """
    if rule.kind == "days":
        return day_periods(start, end, rule.length, kept)
    if rule.kind == "file":
        return listed_periods(listed, start, end, kept)
    return calendar_periods(start, end, rule.length, kept, _ANCHORS.get(rule.kind))


def last_ended_day(rule: PeriodRule, start: date, stop: date, listed: Sequence[Span] = ()) -> date | None:
    """Return the last day of the last whole period that ends before a day; None if no period does.

    Parameters
    ----------
    rule : PeriodRule
        Kind of the periods.
    start : date
        First day of the cube.
    stop : date
        First day after those that count as ended.
    listed : sequence of (date, date)
        Half-open periods of the file, for a rule of a file.
    """
    if stop <= start:
        return None
    if rule.kind == "file":
        ends = [after for first, after in listed if start <= first and after <= stop]
    elif rule.kind == "days":
        ends = [after for _, after in _spans_of_days(start, stop, rule.length) if after <= stop]
    else:
        first, anchor = _ordinal(start), _ANCHORS.get(rule.kind)
        first -= 0 if anchor is None else (first - anchor) % rule.length
        whole = (_ordinal(stop) - first) // rule.length
        ends = [_first_day(first + whole * rule.length)] if whole > 0 else []
    return max(ends) - _DAY if ends else None


def _spans_of_days(start: date, end: date, days: int) -> Iterator[Span]:
    """Yield the whole periods from the one that contains `start` to the one that contains `end`."""
    for year in range(start.year, end.year + 1):
        first, after = date(year, 1, 1), date(year + 1, 1, 1)
        length = (after - first).days
        count = max(1, length // days + (2 * (length % days) >= days))
        for number in range(count):
            begin = first + number * days * _DAY
            stop = after if number == count - 1 else begin + days * _DAY
            if stop > start and begin <= end:
                yield begin, stop


def _kept(spans: Sequence[Span], kept: Collection[int]) -> tuple[Period, ...]:
    """Return the periods that have a day in one of the kept months."""
    if kept:
        chosen = [span for span in spans if any(month % 12 + 1 in kept for month in _months_of(span))]
        if not chosen:
            raise ValueError(f"no period has a day in one of the months {sorted(kept)}")
        spans = chosen
    return tuple(Period(index, *span, has_days=True) for index, span in enumerate(spans))


def _months_of(span: Span) -> range:
    return range(_ordinal(span[0]), _ordinal(span[1] - _DAY) + 1)


_FIRST_MONTH = 12
"""Number of the first month of the calendar, in year 1."""


def _ordinal(day: date) -> int:
    return day.year * 12 + day.month - 1


def _first_day(ordinal: int) -> date:
    return date(ordinal // 12, ordinal % 12 + 1, 1)
