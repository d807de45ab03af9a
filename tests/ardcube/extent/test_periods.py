"""Periods cover the requested months: half-open, in order, without gap or overlap."""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.config.period import FORM_PATTERN, PeriodRule
from ardcube.extent.periods import (
    MOST_PERIODS,
    Period,
    calendar_periods,
    day_periods,
    last_ended_day,
    listed_periods,
    periods_of,
)
from tests.oracle import cube as oracle
from tests.oracle.periods import days_of_year, named_periods, season, year
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


# ---- days, seasons, years ------------------------------------------------------------------------


@MANY
@given(first=months(), second=months(), days=st.integers(1, 183))
def test_periods_of_days_tile_the_days_and_have_the_same_dates_in_every_year(
    first: date, second: date, days: int
) -> None:
    start, end = min(first, second), max(first, second)
    if (end - start).days // days > MOST_PERIODS:
        end = start + timedelta(days=400)
    periods = day_periods(start, end, days)
    spans = [(period.start, period.end) for period in periods]
    assert spans == named_periods(start, end, days_of_year(days))
    assert spans[0][0] <= start < spans[0][1]
    assert spans[-1][1] == end + timedelta(days=1)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert {(day.timetuple().tm_yday - 1) % days for day, _ in spans} == {0}
    lengths = [(after - day).days for day, after in spans]
    assert set(lengths[:-1]) <= set(range((days + 1) // 2, days + (days + 1) // 2))
    assert lengths[-1] < days + (days + 1) // 2
    labels = [period.label for period in periods]
    assert labels == [day.isoformat() for day, _ in spans] == sorted(set(labels))


@pytest.mark.parametrize(
    ("days", "year", "count", "last"),
    [
        (16, 2023, 23, (date(2023, 12, 19), 13)), (16, 2024, 23, (date(2024, 12, 18), 14)),
        (8, 2023, 46, (date(2023, 12, 27), 5)), (8, 2024, 46, (date(2024, 12, 26), 6)),
        (10, 2023, 37, (date(2023, 12, 27), 5)), (7, 2023, 52, (date(2023, 12, 24), 8)),
        (7, 2024, 52, (date(2024, 12, 23), 9)), (5, 2024, 73, (date(2024, 12, 26), 6)),
        (1, 2024, 366, (date(2024, 12, 31), 1)), (183, 2023, 2, (date(2023, 7, 3), 182)),
    ],
)  # fmt: skip
def test_a_year_has_the_periods_of_days_that_modis_has_and_none_of_few_days(
    days: int, year: int, count: int, last: tuple[date, int]
) -> None:
    periods = day_periods(date(year, 1, 1), date(year, 12, 31), days)
    assert len(periods) == count
    assert (periods[-1].start, (periods[-1].end - periods[-1].start).days) == last


@MANY
@given(first=months(), second=months(), kind=st.sampled_from(["season", "year"]))
def test_seasons_and_years_tile_the_months_from_the_one_that_contains_the_start(
    first: date, second: date, kind: str
) -> None:
    start, end = min(first, second), max(first, second)
    last = date(end.year + end.month // 12, end.month % 12 + 1, 1) - timedelta(days=1)
    periods = periods_of(PeriodRule.parse(kind), start, end)
    named = named_periods(start, last, season if kind == "season" else year)
    assert [(period.start, period.end) for period in periods] == named
    assert all(period.label == f"{period.start:%Y-%m}" for period in periods)


def test_the_winter_of_a_year_begins_in_december_of_the_year_before() -> None:
    periods = periods_of(PeriodRule.parse("season"), date(2024, 1, 15), date(2024, 12, 1))
    assert [period.label for period in periods] == ["2023-12", "2024-03", "2024-06", "2024-09", "2024-12"]
    assert (periods[0].end - periods[0].start).days == 31 + 31 + 29
    assert periods[-1].end == date(2025, 1, 1), "clipped to the end month"


def test_two_cubes_of_days_have_common_periods_whatever_their_starts() -> None:
    some = day_periods(date(2023, 5, 5), date(2023, 7, 31), 16)
    more = day_periods(date(2021, 1, 1), date(2023, 7, 31), 16)
    assert {(period.start, period.end) for period in some} <= {(period.start, period.end) for period in more}


@MANY
@given(first=months(), days=st.integers(1, 183), length=st.integers(1, 800), more=st.integers(0, 300))
def test_a_later_end_adds_periods_and_lengthens_at_most_the_last(
    first: date, days: int, length: int, more: int
) -> None:
    end = first + timedelta(days=length)
    before, after = (day_periods(first, last, days) for last in (end, end + timedelta(days=more)))
    assert before[:-1] == after[: len(before) - 1]
    assert before[-1].start == after[len(before) - 1].start


def test_periods_without_a_day_in_the_kept_months_are_left_out() -> None:
    periods = day_periods(date(2023, 1, 1), date(2023, 12, 31), 30, {6})
    assert [period.label for period in periods] == ["2023-05-31", "2023-06-30"]
    rows = [(date(2023, 5, 1), date(2023, 6, 1)), (date(2023, 5, 15), date(2023, 6, 15))]
    listed = listed_periods(rows, date(2023, 1, 1), date(2023, 12, 31), {6})
    assert [(period.index, period.label) for period in listed] == [(0, "2023-05-15")]
    with pytest.raises(ValueError, match="no period has a day in one of the months"):
        day_periods(date(2023, 1, 1), date(2023, 1, 31), 10, {6})


def test_listed_periods_are_those_within_the_dates() -> None:
    rows = [(date(2023, month, 1), date(2023, month + 2, 1)) for month in range(1, 8)]
    listed = listed_periods(rows, date(2023, 2, 1), date(2023, 5, 31))
    assert [(period.start, period.end) for period in listed] == rows[1:4]
    with pytest.raises(ValueError, match="no period of the file is within 2023-02-02 to 2023-03-31"):
        listed_periods(rows, date(2023, 2, 2), date(2023, 3, 31))


def test_too_many_days_an_end_before_the_start_and_a_time_before_the_calendar_are_refused() -> None:
    with pytest.raises(ValueError, match="1 days from 2000-01-01 to 2023-01-01 are more than 4096 periods"):
        day_periods(date(2000, 1, 1), date(2023, 1, 1), 1)
    with pytest.raises(ValueError, match="no period of 10 days between 2023-01-02 and 2023-01-01"):
        day_periods(date(2023, 1, 2), date(2023, 1, 1), 10)
    with pytest.raises(ValueError, match="begins before the calendar"):
        periods_of(PeriodRule.parse("season"), date(1, 1, 1), date(1, 5, 1))


@MANY
@given(start=months(1990, 2030), days=st.integers(0, 900), text=st.sampled_from(["3M", "16D", "7D", "season", "year"]))
def test_the_last_ended_day_is_that_of_the_last_period_that_ends_in_time(start: date, days: int, text: str) -> None:
    rule, stop = PeriodRule.parse(text), start + timedelta(days=days)
    whole = periods_of(rule, start, stop + timedelta(days=900))[:-1]
    ends = [period.end for period in whole if period.end <= stop]
    assert last_ended_day(rule, start, stop) == (max(ends) - timedelta(days=1) if ends else None)


@pytest.mark.parametrize("text", ["1M", "24M", "1D", "183D", "season", "year", "folder/rolling.csv"])
def test_a_kind_of_periods_has_one_text(text: str) -> None:
    assert str(PeriodRule.parse(text)) == text
    assert re.search(FORM_PATTERN, text)
    if not text.endswith(".csv"):
        assert str(PeriodRule.parse(f" {text.lower()} ")) == str(PeriodRule.parse(text.upper())) == text


@pytest.mark.parametrize(
    "text", ["", "0M", "25M", "184D", "0D", "010D", "M", "10", "1W", "-1D", "1.5D", "x\n.csv", "csv"]
)
def test_another_text_is_refused_by_the_parser_and_by_the_form(text: str) -> None:
    assert not re.search(FORM_PATTERN, text)
    with pytest.raises(ValueError, match="is none; choose from 1M to 24M, 1D to 183D, season, year, or the path of"):
        PeriodRule.parse(text)
