"""Order of the scenes of a solar day."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import shapely

from ardcube.catalog.scene import Scene
from ardcube.chunk.solar_days import in_order, solar_days


def scene(name: str, hour: int, acquisition: str = "", baseline: tuple[int, ...] = (), day: int = 10) -> Scene:
    return Scene(
        id=name, datetime=datetime(2023, 8, day, hour, tzinfo=UTC), footprint=shapely.box(15, 46, 16, 47),
        solar_hours=1, acquisition=acquisition, baseline=baseline, generated="", revision="r", bands={},
    )  # fmt: skip


def test_scenes_of_a_day_are_ordered_by_time_then_id() -> None:
    scenes = [scene("c", 9), scene("b", 9), scene("a", 10)]
    assert [found.id for found in in_order(scenes)] == ["b", "c", "a"]


def test_older_processings_come_directly_after_the_newer_one() -> None:
    scenes = [
        scene("a", 9, "take", (5, 9)), scene("d", 10, "take", (5, 10)), scene("b", 9),
        scene("c", 11), scene("e", 8, "take", (4, 0)),
    ]  # fmt: skip
    for given in permutations(scenes):
        (day,) = solar_days(given)
        assert [found.id for found in day.scenes] == ["b", "d", "a", "e", "c"]
        assert {found.id: [newer.id for newer in day.newer(found)] for found in day.scenes} == {
            "b": [], "d": [], "a": ["d"], "e": ["d", "a"], "c": [],
        }  # fmt: skip


def test_days_are_ordered_and_hold_their_own_scenes() -> None:
    """23 UTC is midnight of the next day in solar time, one hour east of Greenwich."""
    days = solar_days([scene("a", 9, day=11), scene("b", 9, day=10), scene("c", 23, day=10)])
    assert [(day.date.day, [found.id for found in day.scenes]) for day in days] == [(10, ["b"]), (11, ["c", "a"])]
