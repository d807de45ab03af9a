"""Select months relative to the day of a run: months that have ended, and periods to search again (pure)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from ardcube.config import CubeConfig, GrowingCubeConfig
from ardcube.errors import InputError
from ardcube.extent.periods import Period


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
        Days after the end of a month until the month counts as ended.

    Raises
    ------
    InputError
        If no period has ended.
    """
    ended = last_ended_month(today, delay_days)
    if cube.end_date is not None and cube.end_date.replace(day=1) <= ended:
        return _with_end(cube, cube.end_date)
    length = cube.time_frequency_months
    start = cube.start_date.replace(day=1)
    months = (ended.year - start.year) * 12 + ended.month - start.month + 1
    if months < length:
        raise InputError(
            f"start_date {start:%Y-%m}: its first period of {length} months has not ended on {today} with a "
            f"delay_days of {delay_days}, so there is nothing to build; choose an earlier month or run later"
        )
    return _with_end(cube, add_months(start, months // length * length - 1))


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
        First month after the stored time axis, such as 2023-04.
    months : int
        Months of look-back before the first new month; before the last month if none is new.
    """
    year, month = map(int, stored_end.split("-"))
    first_new = min(date(year, month, 1), add_months(periods[-1].end, -1))
    since = add_months(first_new, -months)
    return tuple(period for period in periods if period.end > since or period.label not in settled)


def _with_end(cube: GrowingCubeConfig, end: date) -> CubeConfig:
    return CubeConfig(**{**cube.model_dump(), "end_date": end})
