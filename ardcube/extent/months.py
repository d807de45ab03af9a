"""Select periods relative to the day of a run: those that have ended, and those to search again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from ardcube.config import CubeConfig, GrowingCubeConfig
from ardcube.errors import InputError
from ardcube.extent.period_file import listed_spans
from ardcube.extent.periods import Period, last_ended_day

_LAST_STOP = date(9998, 12, 31)
"""Last day until which periods are looked for: the calendar ends a year later."""


def last_ended_month(today: date, delay_days: int = 0) -> date:
    """Return the first day of the last month that had ended `delay_days` days before `today`."""
    month = (today - timedelta(days=delay_days)).replace(day=1)
    return add_months(month, -1)


def add_months(month: date, months: int) -> date:
    """Return the first day of the month that is `months` months later; earlier if `months` is negative."""
    ordinal = max(12, month.year * 12 + month.month - 1 + months)  # the calendar begins with year 1
    return date(ordinal // 12, ordinal % 12 + 1, 1)


def limit_to_ended_periods(cube: GrowingCubeConfig, today: date, delay_days: int) -> CubeConfig:
    """Return the cube of the periods that have ended.

    A period that has not ended is left to a later run, because a period built now would be built again then.

    Parameters
    ----------
    cube : GrowingCubeConfig
        With an open end, or with the last month that the cube may ever have.
    today : date
        UTC.
    delay_days : int
        Days after the end of a period until the period counts as ended.

    Raises
    ------
    InputError
        If no period has ended, or the cube's file of periods cannot be used.
    """
    rule = cube.period_rule
    if cube.end_date is not None and _has_ended(cube.end_date, today, delay_days, has_days=rule.has_days):
        return _with_end(cube, cube.end_date)
    stop = min(today - timedelta(days=delay_days), _LAST_STOP)
    last = last_ended_day(rule, cube.start_date, stop, listed_spans(cube))
    if last is None:
        start = f"{cube.start_date}" if rule.has_days else f"{cube.start_date:%Y-%m}"
        length = f"period of {rule.length} months" if rule.kind == "months" else f"period ({rule})"
        raise InputError(
            f"start_date {start}: its first {length} has not ended on {today} with a "
            f"delay_days of {delay_days}, so there is nothing to build; choose an earlier month or run later"
        )
    return _with_end(cube, last if rule.has_days else last.replace(day=1))


def _has_ended(end: date, today: date, delay_days: int, *, has_days: bool) -> bool:
    """Return whether the last day, or the last month, of a cube ended `delay_days` days before `today`."""
    if has_days:
        return end < today - timedelta(days=delay_days)
    return end.replace(day=1) <= last_ended_month(today, delay_days)


def periods_to_search(
    periods: Sequence[Period], settled: Collection[str], stored_end: str, months: int
) -> tuple[Period, ...]:
    """Return the periods that a run with a look-back searches; the others remain unchanged.

    Parameters
    ----------
    periods : sequence of Period
        Time axis that the cube will have.
    settled : collection of str
        Labels of the periods whose chunks are all built and whose last month has not changed.
    stored_end : str
        First month or day after the stored time axis, such as 2023-04 or 2023-04-11.
    months : int
        Months of look-back before the first new month; before the last month if none is new.
    """
    year, month, *day = map(int, stored_end.split("-"))
    first_new = min(date(year, month, *(day or [1])), add_months(periods[-1].end, -1))
    since = add_months(first_new, -months)
    return tuple(period for period in periods if period.end > since or period.label not in settled)


def _with_end(cube: GrowingCubeConfig, end: date) -> CubeConfig:
    return CubeConfig(**{**cube.model_dump(), "end_date": end})
