"""Scenes of a solar day: their order, and one observation for each sensor."""

from __future__ import annotations

from dataclasses import replace
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


def test_processings_that_follow_each_other_begin_with_the_newest() -> None:
    """Other scenes keep their order by time and id, also between two processings."""
    scenes = [
        scene("a", 9, "take", (5, 9)), scene("b", 9, "take", (5, 10)), scene("c", 9), scene("d", 10, "take", (5, 11)),
        scene("e", 10, "other"), scene("f", 10, "take", (4, 0)), scene("g", 11),
    ]  # fmt: skip
    for given in permutations(scenes):
        (day,) = solar_days(given)
        assert [found.id for found in day.scenes] == ["b", "a", "c", "d", "e", "f", "g"]
    assert {found.id: [newer.id for newer in day.newer(found)] for found in day.scenes} == {
        "b": ["d"], "a": ["b", "d"], "c": [], "d": [], "e": [], "f": ["b", "a", "d"], "g": [],
    }  # fmt: skip


def test_days_are_ordered_and_hold_their_own_scenes() -> None:
    """23 UTC is midnight of the next day in solar time, one hour east of Greenwich."""
    days = solar_days([scene("a", 9, day=11), scene("b", 9, day=10), scene("c", 23, day=10)])
    assert [(day.date.day, [found.id for found in day.scenes]) for day in days] == [(10, ["b"]), (11, ["c", "a"])]


def test_each_sensor_has_its_own_observation_of_a_day() -> None:
    sensors = {"a": "Sentinel-2 MSI", "b": "Landsat OLI", "c": "Landsat OLI", "d": ""}
    scenes = [replace(scene(name, 9), sensor=sensor) for name, sensor in sensors.items()]
    for given in permutations([*scenes, replace(scene("e", 8, day=11), sensor="Landsat OLI")]):
        days = solar_days(given)
        assert [(day.date.day, day.sensor, [found.id for found in day.scenes]) for day in days] == [
            (10, "", ["d"]), (10, "Landsat OLI", ["b", "c"]), (10, "Sentinel-2 MSI", ["a"]),
            (11, "Landsat OLI", ["e"]),
        ]  # fmt: skip
