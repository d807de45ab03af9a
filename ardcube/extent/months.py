"""Dates that depend on the day of a run: which months have ended, and which ones are looked at again (pure)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from ardcube.config import CubeConfig, GrowingCubeConfig
from ardcube.errors import InputError
from ardcube.extent.periods import Period


def last_ended_month(today: date, delay_days: int = 0) -> date:
    """First day of the last month that was over `delay_days` days before `today`."""
    month = (today - timedelta(days=delay_days)).replace(day=1)
    return add_months(month, -1)


def add_months(month: date, months: int) -> date:
    """First day of the month that lies so many months after another, or before it."""
    ordinal = max(12, month.year * 12 + month.month - 1 + months)  # the calendar begins with year 1
    return date(ordinal // 12, ordinal % 12 + 1, 1)


def up_to_now(cube: GrowingCubeConfig, today: date, delay_days: int) -> CubeConfig:
    """Cube of the periods that have ended, with every month in them.

    A period that has not ended is left for a later run: built now, it would have to be built again.

    Parameters
    ----------
    cube : GrowingCubeConfig
        With its end open, or with the last month that it ever gets.
    today : date
        UTC.
    delay_days : int
        Days after the end of a month until it counts as ended.

    Raises
    ------
    InputError
        If no period has ended.
    """
    ended = last_ended_month(today, delay_days)
    if cube.end_date is not None and cube.end_date.replace(day=1) <= ended:
        return _until(cube, cube.end_date)
    length = cube.time_frequency_months
    start = cube.start_date.replace(day=1)
    months = (ended.year - start.year) * 12 + ended.month - start.month + 1
    if months < length:
        raise InputError(
            f"the first period of the cube, {length} months from {start:%Y-%m} on, has not ended on {today} with a "
            f"delay_days of {delay_days}; there is nothing to build"
        )
    return _until(cube, add_months(start, months // length * length - 1))


def to_look_at(periods: Sequence[Period], settled: Collection[str], stored_end: str, months: int) -> tuple[Period, ...]:
    """Periods that a run with a look-back searches; all others stay as they are.

    Parameters
    ----------
    periods : sequence of Period
        Time axis of the cube, as it is to be.
    settled : collection of str
        Labels of the periods whose chunks are all built, for the span that they still have.
    stored_end : str
        First month after the time axis as it stands, such as 2023-04.
    months : int
        Length of the look-back, from the first month that is new; from the last month where none is.
    """
    year, month = map(int, stored_end.split("-"))
    new = min(date(year, month, 1), add_months(periods[-1].end, -1))
    since = add_months(new, -months)
    return tuple(period for period in periods if period.end > since or period.label not in settled)


def _until(cube: GrowingCubeConfig, end: date) -> CubeConfig:
    return CubeConfig(**{**cube.model_dump(), "end_date": end})
