"""Scores of observations, the parameters of `best-pixel`, and distances to cloud, against plain NumPy."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ardcube.errors import InputError
from ardcube.kernels.cloud_distance import cloud_distances
from ardcube.pixels.composites.best_pixel import BestPixel, LeastCloudy
from ardcube.pixels.composites.figures import Needs, SceneFigures, needs_of
from ardcube.pixels.composites.per_band import Median
from ardcube.pixels.composites.protocol import Stack, text_of
from ardcube.pixels.composites.registry import composite
from ardcube.pixels.morphology import Layout, Words, disk
from tests.strategies import FEW, RANDOM

Mask = NDArray[np.bool_]


# ---- distance to cloud ---------------------------------------------------------------------------


def words_of(mask: Mask, layout: Layout) -> Words:
    words, bits = layout.zeros(), np.zeros((layout.height, 64 * layout.stride), bool)
    bits[:, : layout.width] = mask
    packed = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
    words[layout.start : layout.start + packed.size] = packed.ravel()
    return words


@FEW
@given(rng=RANDOM)
def test_distances_are_euclidean_and_bounded(rng: np.random.Generator) -> None:
    """Also without a cloud, with uncovered pixels, and with pixels that are not square."""
    shape = (int(rng.integers(1, 90)), int(rng.integers(1, 200)))
    pixel = [(20.0, 20.0), (30.0, 17.3), (463.3, 300.1)][int(rng.integers(3))]
    limit = int(rng.integers(1, 2000))
    covered = rng.random(shape) < 0.9
    cloud = covered & (rng.random(shape) < rng.choice([0, 0.001, 0.02, 0.6]))
    layout = Layout.of(shape, (disk(0, pixel),))
    found = np.zeros(shape, np.uint16)
    clear, words = words_of(covered & ~cloud, layout), words_of(covered, layout)
    cloud_distances(clear, words, layout.start, layout.stride, pixel, limit, found)
    exact = distance_transform_edt(~cloud, sampling=pixel) if cloud.any() else np.full(shape, np.inf)
    np.testing.assert_array_equal(found, np.rint(np.minimum(exact, limit)))


# ---- scores --------------------------------------------------------------------------------------

JUNE = (date(2023, 6, 1), date(2023, 7, 1))


def stack_of(*days: str, covers: Any, distances: Any = None, source: Any = None) -> Stack:
    """Return a stack of one band and one pixel; number 100 + n in observation n."""
    numbers = (100 + np.arange(len(days), dtype=np.uint16))[None, :, None, None]
    figures = SceneFigures(
        np.zeros((len(days), 1, 1), np.uint16) if source is None else np.array(source, np.uint16)[:, None, None],
        tuple(tuple(each) if isinstance(each, list) else (each,) for each in covers),
        tuple(
            tuple(np.full((1, 1), one, np.uint16) for one in (each if isinstance(each, list) else [each]))
            for each in (distances or [1500] * len(days))
        ),
    )
    dates = np.array([f"2023-{day}" for day in days], "datetime64[ns]")
    return Stack(numbers, ("red",), dates, 1e-4, 0.0, JUNE, figures=figures)


def chosen(text: str, stack: Stack) -> int:
    one = composite(text)
    assert isinstance(one, (BestPixel, LeastCloudy))
    out = np.zeros((1, 1, 1), np.uint16)
    one.reduce(stack, (out,))
    return int(out.item()) - 100


def test_the_least_cloudy_scene_is_chosen_and_unknown_is_not_zero() -> None:
    nan = math.nan
    assert chosen("least-cloudy", stack_of("06-01", "06-09", "06-20", covers=[70.0, 20.0, 90.0])) == 1
    assert chosen("least-cloudy", stack_of("06-01", "06-09", "06-20", covers=[nan, 100.0, 100.0])) == 1
    assert chosen("least-cloudy", stack_of("06-01", "06-09", covers=[nan, nan])) == 0
    fused = stack_of("06-01", "06-09", covers=[[10.0, 60.0], [30.0]], source=[1, 0])
    assert chosen("least-cloudy", fused) == 1


def test_each_term_chooses_and_equal_scores_choose_the_earliest() -> None:
    days = ("06-01", "06-15", "06-16", "06-30")
    same = [50.0] * 4
    assert chosen("best-pixel", stack_of(*days, covers=same)) == 1  # the 15th and 16th are as near to the middle
    assert chosen("best-pixel:day=181", stack_of(*days, covers=same)) == 3
    assert chosen("best-pixel:day=1", stack_of(*days, covers=same)) == 0
    assert chosen("best-pixel:date=0", stack_of(*days, covers=same, distances=[0, 300, 900, 200])) == 2
    assert chosen("best-pixel:date=0,metres=300", stack_of(*days, covers=same, distances=[0, 300, 900, 200])) == 1
    assert chosen("best-pixel:date=0,cloud=0", stack_of(*days, covers=[9.0, 40.0, 2.0, 2.0])) == 2
    two = stack_of(*days, covers=[[50.0, 50.0]] * 4, distances=[[0, 900]] * 4, source=[0, 0, 1, 0])
    assert chosen("best-pixel:date=0", two) == 2


def test_a_target_is_the_nearest_of_any_year() -> None:
    one = BestPixel(day=3)
    assert [one._days_from_target(day, None) for day in (date(2023, 12, 31), date(2024, 1, 3), date(2024, 7, 5))] == [
        3, 0, 182,
    ]  # fmt: skip
    assert BestPixel(day=366)._days_from_target(date(2024, 12, 31), None) == 0


def test_a_scene_of_unknown_cloud_cover_has_the_mean_of_the_other_terms() -> None:
    nan = math.nan
    stack = stack_of("06-15", "06-16", covers=[nan, 99.0])
    assert chosen("best-pixel", stack) == 0
    # The other terms of both are 1 and 0.993; a clear sky exceeds their mean.
    assert chosen("best-pixel", stack_of("06-15", "06-16", covers=[nan, 0.0])) == 1
    assert chosen("best-pixel:date=0,cloud=0", stack_of("06-15", "06-16", covers=[nan, 100.0])) == 1


def test_a_pixel_without_observation_has_no_choice() -> None:
    stack = stack_of("06-01", "06-09", covers=[1.0, 2.0])
    empty = replace(stack, numbers=np.zeros_like(stack.numbers))
    for one in (BestPixel(), LeastCloudy()):
        np.testing.assert_array_equal(one.choose(empty), [[-1]])


# ---- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("best-pixel", "best-pixel"),
        ("best-pixel:cloud=.50,day=196", "best-pixel:day=196,cloud=0.5"),
        ("best-pixel:sigma=30,metres=1500,date=1", "best-pixel"),
        ("best-pixel:coverage=0,metres=5000", "best-pixel:metres=5000,coverage=0"),
    ],
)
def test_equal_composites_have_equal_texts(text: str, written: str) -> None:
    assert text_of(composite(text)) == written
    assert composite(written) == composite(text)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("day=0", "day=0 is not a day of the year; give a whole number 1 to 366"),
        ("day=1.5", "day=1.5 is not a day"),
        ("sigma=367", "sigma=367 is not a number of days"),
        ("metres=5001", "metres=5001 is not a distance in metres; give a whole number 1 to 5000"),
        ("cloud=-1", "cloud=-1 is not a weight; give a number with at most 3 decimals, 0 to 100"),
        ("cloud=1e3", "cloud=1e3 is not a weight"),
        ("cloud=nan", "cloud=nan is not a weight"),
        ("cloud", "cloud= is not a weight"),
        ("clouds=1", "'clouds' is not a parameter; choose from day, sigma, metres, date, cloud, coverage"),
        ("day=1,day=2", "'day' is given more than once"),
        ("day=1,", "'' is not a parameter"),
        ("date=0,cloud=0,coverage=0.0", "all weights are 0; make date, cloud or coverage larger"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(parameters: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        composite(f"best-pixel:{parameters}")
    assert str(error.value).startswith(f"composite best-pixel:{parameters}: {message}")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="least-cloudy takes no parameters"):
        composite("least-cloudy:1")


def test_figures_are_needed_only_for_terms_with_a_weight() -> None:
    assert needs_of([Median()]) == Needs()
    assert needs_of([Median(), LeastCloudy()]) == Needs(cloud_cover=True)
    assert needs_of([BestPixel(coverage=0), BestPixel(metres=300)]) == Needs(True, 1500)
    assert needs_of([BestPixel(cloud=0, coverage=0)]) == Needs()
