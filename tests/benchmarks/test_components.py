"""The trial of libraries: every step runs on small arrays, and all ways that promise equal results give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.component_scene import TINY, Scene, days, scene
from benchmarks.component_steps import Step, Way, steps
from benchmarks.components import Cost, installed, measure


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Sequence[tuple[Step, list[Cost]]]:
    return [(step, list(measure(step, seconds=0))) for step in steps(TINY, tmp_path_factory.mktemp("bands"))]


def test_every_step_is_tried_by_all_that_is_installed_in_the_order_that_was_asked(
    tried: Sequence[tuple[Step, list[Cost]]],
) -> None:
    for step, costs in tried:
        assert [cost.way for cost in costs] == [way.name for way in step.ways if installed(way)]
        assert costs[0].ratio == 1
        assert all(cost.cpu_ms > 0 for cost in costs)


def test_all_ways_agree_but_those_that_resample_with_another_kernel(
    tried: Sequence[tuple[Step, list[Cost]]],
) -> None:
    other = [cost for _, costs in tried for cost in costs if cost.equal < 1]
    assert {cost.step for cost in other} == {"resample 4 bands"}
    assert not [cost.way for cost in other if "ardcube" in cost.way]
    (gdal,) = (cost for cost in other if cost.way == "GDAL")
    assert gdal.near > 0.85


def test_a_result_that_differs_is_reported() -> None:
    right, wrong = (lambda: np.array([10, 20, 30])), (lambda: np.array([10, 23, 50]))
    step = Step("add", 1.0, "Mpx", (Way("right", "numpy", lambda: right), Way("wrong", "numpy", lambda: wrong)))
    same, other = measure(step, seconds=0)
    assert (same.equal, same.largest) == (1, 0)
    assert (other.equal, other.near, other.largest) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 20)


def test_a_library_that_is_missing_is_left_out() -> None:
    def unwanted() -> None:
        raise AssertionError

    missing = [Way("gone", module, unwanted) for module in ("no_such_library", "no_such_package.part")]
    step = Step("nothing", 1.0, "MB", (Way("here", "numpy", lambda: lambda: np.zeros(3)), *missing))
    assert [cost.way for cost in measure(step, seconds=0)] == ["here"]


def test_the_pixels_are_the_same_each_time_and_have_clouds_and_land() -> None:
    one, other = scene(TINY), scene(TINY)
    assert isinstance(one, Scene)
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_array_equal(one.classes, other.classes)
    assert one.transform == other.transform
    assert one.numbers.all()
    for part in (np.isin(one.classes, (8, 9)), one.numbers > 2000):
        assert 0.01 < part.mean() < 0.99
    stack = days(TINY)
    np.testing.assert_array_equal(stack, days(TINY))
    assert 0.1 < (stack == 0).mean() < 0.9
