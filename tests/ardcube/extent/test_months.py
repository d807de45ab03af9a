"""Dates that depend on the day of a run."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig
from ardcube.errors import InputError
from ardcube.extent.months import add_months, last_ended_month, to_look_at, up_to_now
from ardcube.extent.periods import calendar_periods

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def growing(**changes: Any) -> GrowingCubeConfig:
    return GrowingCubeConfig(**{"bbox": (15, 46, 16, 47), "start_date": "2023-01-15", **changes})


def end_on(day: date, delay_days: int = 0, **changes: Any) -> str:
    """Last month of the cube as a run on a day builds it."""
    return f"{up_to_now(growing(**changes), day, delay_days).end_date:%Y-%m}"


@given(DAYS, st.integers(0, 366))
def test_a_month_has_ended_when_the_delay_is_over_and_the_next_one_has_not(today: date, delay: int) -> None:
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
def test_a_cube_goes_up_to_the_month_that_has_ended(today: date, delay: int, end: str) -> None:
    assert end_on(today, delay) == end


def test_nothing_but_the_end_is_another() -> None:
    cube = growing(cloud_mask="scl", cloud_mask_options={"closing": 3}, bands=("nir",))
    dated = up_to_now(cube, date(2023, 7, 1), 0)
    assert type(dated) is CubeConfig
    assert dated == CubeConfig(**{**cube.model_dump(), "end_date": date(2023, 6, 1)})


def test_a_period_that_has_not_ended_waits() -> None:
    quarters = {"time_frequency_months": 3}
    assert end_on(date(2023, 6, 30), **quarters) == "2023-03"
    assert end_on(date(2023, 7, 1), **quarters) == "2023-06"
    with pytest.raises(InputError, match="3 months from 2023-01 on, has not ended on 2023-03-31"):
        end_on(date(2023, 3, 31), **quarters)


def test_a_cube_stops_at_its_last_month() -> None:
    assert end_on(date(2023, 3, 1), end_date="2023-05-31") == "2023-02"
    assert end_on(date(2023, 6, 1), end_date="2023-05-31") == "2023-05"
    assert end_on(date(2030, 1, 1), end_date="2023-05-31") == "2023-05"
    assert end_on(date(2030, 1, 1), end_date="2023-05-31", time_frequency_months=3) == "2023-05"


def test_a_cube_of_the_future_is_refused() -> None:
    with pytest.raises(InputError, match="there is nothing to build"):
        end_on(date(2022, 6, 1))


def test_the_day_of_a_run_is_a_day_of_the_satellites() -> None:
    assert RefreshConfig(as_of="2023-07-06T12:00:00").as_of == date(2023, 7, 6)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="0001-01-01 lies before the first scenes"):
        RefreshConfig(as_of="0001-01-01")  # type: ignore[arg-type]


# ---- the look-back -------------------------------------------------------------------------------


def looked_at(end: str, *, stored_end: str, months: int, settled: str = "*", every: int = 1) -> list[str]:
    """Labels of the periods from 2023-01 to `end` that a run searches."""
    periods = calendar_periods(date(2023, 1, 1), date.fromisoformat(f"{end}-01"), every)
    done = [period.label for period in periods] if settled == "*" else settled.split()
    return [period.label for period in to_look_at(periods, done, stored_end, months)]


def test_the_look_back_counts_from_the_first_month_that_is_new() -> None:
    assert looked_at("2023-06", stored_end="2023-06", months=2) == ["2023-04", "2023-05", "2023-06"]
    assert looked_at("2023-06", stored_end="2023-06", months=0) == ["2023-06"]
    # Three runs were missed: what they would have looked at is looked at now.
    assert looked_at("2023-08", stored_end="2023-06", months=1) == ["2023-05", "2023-06", "2023-07", "2023-08"]


def test_where_nothing_is_new_it_counts_from_the_last_month() -> None:
    assert looked_at("2023-06", stored_end="2023-07", months=2) == ["2023-04", "2023-05", "2023-06"]


def test_a_month_that_is_not_complete_is_looked_at_however_old() -> None:
    settled = "2023-01 2023-03 2023-04 2023-05"
    assert looked_at("2023-06", stored_end="2023-06", months=0, settled=settled) == ["2023-02", "2023-06"]


def test_a_period_that_grows_is_looked_at() -> None:
    # The first quarter stood to February; its third month is new.
    assert looked_at("2023-06", stored_end="2023-03", months=0, every=3) == ["2023-01", "2023-04"]


@given(st.integers(0, 1200), st.integers(1, 24))
def test_a_longer_look_back_looks_at_no_less_and_the_last_period_is_always_among_them(months: int, every: int) -> None:
    some = looked_at("2024-12", stored_end="2024-06", months=months, every=every)
    more = looked_at("2024-12", stored_end="2024-06", months=months + 1, every=every)
    periods = calendar_periods(date(2023, 1, 1), date(2024, 12, 1), every)
    assert set(some) <= set(more)
    assert some[-1] == periods[-1].label
