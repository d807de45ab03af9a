"""Months of the year, and comparisons with properties of items."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ardcube.config import CubeConfig
from ardcube.config.selection import Comparison, parse_months

pytestmark = pytest.mark.unit

CUBE: dict[str, Any] = {"start_date": "2022-11", "end_date": "2023-12", "bbox": (11, 46, 12, 47)}


@pytest.mark.parametrize(
    ("text", "months"),
    [("5-9", {5, 6, 7, 8, 9}), ("11-2", {11, 12, 1, 2}), ("3,6-8", {3, 6, 7, 8}), ("4", {4}), (" 1 , 2 ", {1, 2})],
)
def test_months_are_ranges_that_may_cross_the_year(text: str, months: set[int]) -> None:
    assert parse_months(text) == months
    kept = CubeConfig(**CUBE, months=text).months
    assert kept is not None
    assert CubeConfig(**CUBE, months=kept).kept_months == months


def test_all_months_are_no_condition() -> None:
    assert CubeConfig(**CUBE, months="1-12").months is CubeConfig(**CUBE, months="6-5").months is None


@pytest.mark.parametrize("text", ["", "0-3", "13", "5-", "May", "5..9", "5-9-11"])
def test_other_texts_are_no_months(text: str) -> None:
    with pytest.raises(ValidationError, match="is no range within a year; write 5-9"):
        CubeConfig(**CUBE, months=text)


@pytest.mark.parametrize(
    ("text", "written", "holding", "failing"),
    [
        ("eo:cloud_cover<60", "eo:cloud_cover<60", [0, 59.9], [60, 61, None, "low", True]),
        ("eo:cloud_cover <= 60", "eo:cloud_cover<=60", [60], [60.1]),
        ("view:sun_elevation>20.5", "view:sun_elevation>20.5", [21], [20.5, None]),
        ("a>=-1e3", "a>=-1000", [-1000, 0], [-1001]),
        ("sat:orbit_state=descending", "sat:orbit_state=descending", ["descending"], ["ascending", None, 1]),
        ("platform != sentinel-2a", "platform!=sentinel-2a", ["sentinel-2b"], ["sentinel-2a", None]),
        ("sat:absolute_orbit=1234567", "sat:absolute_orbit=1234567", [1234567], [1234570]),
        ("eo:cloud_cover<0.123456789", "eo:cloud_cover<0.123456789", [0.12345678], [0.12345679]),
        ("sat:relative_orbit==22", "sat:relative_orbit=22", [22, 22.0], [23, "22"]),
    ],
)
def test_a_comparison_holds_for_known_values_only(
    text: str, written: str, holding: list[Any], failing: list[Any]
) -> None:
    comparison = Comparison.parse(text)
    assert str(comparison) == written
    assert all(comparison.holds({comparison.name: value}) for value in holding)
    assert not any(comparison.holds({comparison.name: value}) for value in failing)
    assert not comparison.holds({})


def test_the_order_of_conditions_does_not_matter() -> None:
    one, other = (CubeConfig(**CUBE, query=query) for query in (("b<2", "a>1"), ("a > 1", "b<2", "a>1")))
    assert one.query == other.query == ("a>1", "b<2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eo:cloud_cover", "is no comparison; write one such as 'eo:cloud_cover<60'"),
        ("<60", "is no comparison"),
        ("cloud cover<60", "is no comparison"),
        ("eo:cloud_cover<", "is no comparison"),
        ("eo:cloud_cover<low", "orders texts; give a number"),
    ],
)
def test_other_texts_are_no_comparison(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CubeConfig(**CUBE, query=(text,))
