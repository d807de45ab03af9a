"""Months relative to the day of a run: the end of a growing cube, and the look-back."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig
from ardcube.errors import InputError
from ardcube.extent.months import add_months, last_ended_month, limit_to_ended_periods, periods_to_search
from ardcube.extent.periods import calendar_periods, day_periods

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def growing(**changes: Any) -> GrowingCubeConfig:
    return GrowingCubeConfig(**{"bbox": (15, 46, 16, 47), "start_date": "2023-01-15", **changes})


def end_on(day: date, delay_days: int = 0, **changes: Any) -> str:
    """Return the last month of the cube that a run builds on a day."""
    return f"{limit_to_ended_periods(growing(**changes), day, delay_days).end_date:%Y-%m}"


@given(DAYS, st.integers(0, 366))
def test_the_last_ended_month_ended_before_the_delay_and_the_next_did_not(today: date, delay: int) -> None:
    month = last_ended_month(today, delay)
    assert month.day == 1
    assert add_months(month, 1) + timedelta(days=delay) <= today < add_months(month, 2) + timedelta(days=delay)


@given(DAYS, st.integers(-600, 600))
def test_months_add_up(day: date, months: int) -> None:
    month = day.replace(day=1)
    assert add_months(add_months(month, months), -months) == month


@pytest.mark.parametrize(
    ("today", "delay", "end"),
    [
        (date(2023, 7, 1), 0, "2023-06"),
        (date(2023, 7, 5), 5, "2023-05"),
        (date(2023, 7, 6), 5, "2023-06"),
        (date(2023, 7, 31), 5, "2023-06"),
        (date(2024, 1, 6), 5, "2023-12"),
    ],
)
def test_a_cube_ends_with_the_last_ended_month(today: date, delay: int, end: str) -> None:
    assert end_on(today, delay) == end


def test_only_the_end_of_the_cube_is_changed() -> None:
    cube = growing(cloud_mask="scl", cloud_mask_options={"closing": 3}, bands=("nir",))
    dated = limit_to_ended_periods(cube, date(2023, 7, 1), 0)
    assert type(dated) is CubeConfig
    assert dated == CubeConfig(**{**cube.model_dump(), "end_date": date(2023, 6, 1)})


def test_a_period_that_has_not_ended_is_left_out() -> None:
    quarters = {"time_frequency_months": 3}
    assert end_on(date(2023, 6, 30), **quarters) == "2023-03"
    assert end_on(date(2023, 7, 1), **quarters) == "2023-06"
    with pytest.raises(
        InputError, match="start_date 2023-01: its first period of 3 months has not ended on 2023-03-31"
    ):
        end_on(date(2023, 3, 31), **quarters)


def test_a_cube_ends_at_its_end_date_at_the_latest() -> None:
    assert end_on(date(2023, 3, 1), end_date="2023-05-31") == "2023-02"
    assert end_on(date(2023, 6, 1), end_date="2023-05-31") == "2023-05"
    assert end_on(date(2030, 1, 1), end_date="2023-05-31") == "2023-05"
    assert end_on(date(2030, 1, 1), end_date="2023-05-31", time_frequency_months=3) == "2023-05"


def test_a_cube_that_starts_in_the_future_is_refused() -> None:
    with pytest.raises(InputError, match="there is nothing to build"):
        end_on(date(2022, 6, 1))


@pytest.mark.parametrize(
    ("period", "today", "end"),
    [
        ("10D", date(2023, 2, 9), date(2023, 1, 30)),
        ("10D", date(2023, 2, 10), date(2023, 2, 9)),
        ("16D", date(2024, 1, 1), date(2023, 12, 31)),
        ("season", date(2023, 5, 31), date(2023, 2, 1)),
        ("season", date(2023, 6, 1), date(2023, 5, 1)),
        ("season", date(2024, 2, 29), date(2023, 11, 1)),
        ("year", date(2024, 1, 1), date(2023, 12, 1)),
    ],
)
def test_a_cube_of_another_kind_ends_with_its_last_ended_period(period: str, today: date, end: date) -> None:
    assert limit_to_ended_periods(growing(period=period), today, 0).end_date == end
    assert limit_to_ended_periods(growing(period=period), today + timedelta(days=5), 5).end_date == end
    assert limit_to_ended_periods(growing(period=period), today, 0).period == period


def test_a_period_of_days_that_the_end_date_clips_is_built_when_that_day_has_ended() -> None:
    cube = growing(period="10D", end_date="2023-02-14")
    assert limit_to_ended_periods(cube, date(2023, 2, 14), 0).end_date == date(2023, 2, 9)
    assert limit_to_ended_periods(cube, date(2023, 2, 15), 0).end_date == date(2023, 2, 14)


def test_a_cube_of_a_file_ends_with_its_last_ended_row(tmp_path: Path) -> None:
    path = tmp_path / "rolling.csv"
    path.write_text("2023-01-01,2023-01-31\n2023-01-16,2023-02-15\n2023-02-01,2023-02-28\n2023-02-16,2023-03-15\n")
    cube = growing(period=str(path))  # starts on January 15th
    assert limit_to_ended_periods(cube, date(2023, 3, 1), 0).end_date == date(2023, 2, 28)
    assert limit_to_ended_periods(cube, date(2030, 3, 1), 0).end_date == date(2023, 3, 15)
    with pytest.raises(InputError, match=r"start_date 2023-01-15: its first period .* has not ended on 2023-02-15"):
        limit_to_ended_periods(cube, date(2023, 2, 15), 0)


@pytest.mark.parametrize(("period", "today"), [("10D", date(2023, 1, 20)), ("year", date(2023, 12, 31))])
def test_a_first_period_of_another_kind_that_has_not_ended_is_refused(period: str, today: date) -> None:
    with pytest.raises(InputError, match=rf"its first period \({period}\) has not ended on {today}"):
        limit_to_ended_periods(growing(period=period), today, 0)


def test_a_run_before_the_first_scenes_is_refused() -> None:
    assert RefreshConfig(as_of="2023-07-06T12:00:00").as_of == date(2023, 7, 6)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="0001-01-01: before the first scenes"):
        RefreshConfig(as_of="0001-01-01")  # type: ignore[arg-type]


# ---- the look-back -------------------------------------------------------------------------------


def searched(end: str, *, stored_end: str, months: int, settled: str = "*", every: int = 1) -> list[str]:
    """Return the labels of the periods from 2023-01 to `end` that a run searches."""
    periods = calendar_periods(date(2023, 1, 1), date.fromisoformat(f"{end}-01"), every)
    done = [period.label for period in periods] if settled == "*" else settled.split()
    return [period.label for period in periods_to_search(periods, done, stored_end, months)]


def test_the_look_back_starts_from_the_first_new_month() -> None:
    assert searched("2023-06", stored_end="2023-06", months=2) == ["2023-04", "2023-05", "2023-06"]
    assert searched("2023-06", stored_end="2023-06", months=0) == ["2023-06"]
    # After three missed runs, one run searches all months that they would have searched.
    assert searched("2023-08", stored_end="2023-06", months=1) == ["2023-05", "2023-06", "2023-07", "2023-08"]


def test_the_look_back_starts_from_the_last_month_if_none_is_new() -> None:
    assert searched("2023-06", stored_end="2023-07", months=2) == ["2023-04", "2023-05", "2023-06"]


def test_an_incomplete_month_is_searched_regardless_of_its_age() -> None:
    settled = "2023-01 2023-03 2023-04 2023-05"
    assert searched("2023-06", stored_end="2023-06", months=0, settled=settled) == ["2023-02", "2023-06"]


def test_a_period_that_becomes_longer_is_searched() -> None:
    # The first quarter ended with February before; its third month is new.
    assert searched("2023-06", stored_end="2023-03", months=0, every=3) == ["2023-01", "2023-04"]


def test_the_look_back_of_days_is_counted_in_months_before_the_first_new_day() -> None:
    periods = day_periods(date(2023, 1, 1), date(2023, 6, 9), 10)
    done = [period.label for period in periods]
    searched = periods_to_search(periods, done, "2023-05-31", 1)
    assert [period.label for period in searched] == ["2023-04-01", "2023-04-11", "2023-04-21", "2023-05-01",
                                                     "2023-05-11", "2023-05-21", "2023-05-31"]  # fmt: skip


@given(st.integers(0, 1200), st.integers(1, 24))
def test_a_longer_look_back_searches_at_least_as_much_and_always_the_last_period(months: int, every: int) -> None:
    some = searched("2024-12", stored_end="2024-06", months=months, every=every)
    more = searched("2024-12", stored_end="2024-06", months=months + 1, every=every)
    periods = calendar_periods(date(2023, 1, 1), date(2024, 12, 1), every)
    assert set(some) <= set(more)
    assert some[-1] == periods[-1].label
