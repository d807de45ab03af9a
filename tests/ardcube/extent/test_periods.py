"""Periods cover the requested months: half-open, in order, without gap or overlap."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.extent.periods import Period, calendar_periods
from tests.oracle import cube as oracle
from tests.strategies import MANY, months


def _months(start: date, stop: date) -> list[tuple[int, int]]:
    """List the months from `start` until before `stop`, one by one."""
    year, month, found = start.year, start.month, []
    while (year, month) < (stop.year, stop.month):
        found.append((year, month))
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return found


@MANY
@given(first=months(), second=months(), frequency=st.integers(1, 24))
def test_periods_tile_the_requested_months_exactly(first: date, second: date, frequency: int) -> None:
    start, end = min(first, second), max(first, second)
    periods = calendar_periods(start, end, frequency)

    assert periods[0].start == start.replace(day=1)
    assert all(before.end == after.start for before, after in pairwise(periods))
    covered = [month for period in periods for month in _months(period.start, period.end)]
    assert covered == [*_months(start, end), (end.year, end.month)]
    lengths = [len(_months(period.start, period.end)) for period in periods]
    assert set(lengths[:-1]) <= {frequency}
    assert 1 <= lengths[-1] <= frequency
    assert [period.index for period in periods] == list(range(len(periods)))


@MANY
@given(first=months(), second=months(), frequency=st.integers(1, 24), day=st.integers(1, 28))
def test_only_year_and_month_of_the_dates_count(first: date, second: date, frequency: int, day: int) -> None:
    start, end = min(first, second), max(first, second)
    periods = calendar_periods(start, end, frequency)
    assert periods == calendar_periods(start.replace(day=day), end.replace(day=day), frequency)
    assert [(period.start, period.end) for period in periods] == oracle.calendar_periods(start, end, frequency)


def test_the_last_period_is_clipped_to_the_end_month() -> None:
    assert calendar_periods(date(2023, 11, 30), date(2024, 2, 1), 3) == (
        Period(0, date(2023, 11, 1), date(2024, 2, 1)),
        Period(1, date(2024, 2, 1), date(2024, 3, 1)),
    )


def test_labels_are_start_months_and_unique() -> None:
    periods = calendar_periods(date(2019, 12, 1), date(2023, 1, 1), 1)
    labels = [period.label for period in periods]
    assert labels[:2] == ["2019-12", "2020-01"]
    assert sorted(set(labels)) == labels


@pytest.mark.parametrize(
    ("start", "end", "frequency"), [("2023-02-01", "2023-01-31", 1), ("2023-01-01", "2023-02-01", 0)]
)
def test_an_end_before_the_start_and_an_empty_period_are_refused(start: str, end: str, frequency: int) -> None:
    with pytest.raises(ValueError, match="no period of"):
        calendar_periods(date.fromisoformat(start), date.fromisoformat(end), frequency)
