"""Composites of whole observations, against plain NumPy, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.composites.geomedian import geomedian_of
from ardcube.pixels.composites.protocol import ObservationComposite, Stack
from ardcube.pixels.composites.reduce import reduce_observations
from ardcube.pixels.composites.registry import composite, composites_of
from tests.strategies import FEW, RANDOM, digital_numbers

BANDS = ("red", "green", "nir")
SCALE, OFFSET = 1e-4, -0.1
Numbers = NDArray[np.uint16]
Plain = Callable[[NDArray[np.float64]], int]
"""Position of the chosen one of observations (observation, band) in digital numbers."""


def stack_of(numbers: Numbers) -> Stack:
    """Return a stack (band, observation, y, x), without the pixels that lack a band."""
    complete = np.where((numbers != 0).all(axis=0), numbers, 0).astype(np.uint16)
    days = np.arange(numbers.shape[1]).astype("timedelta64[D]") + np.datetime64("2023-06-01", "ns")
    return Stack(complete, BANDS[: len(numbers)], days, SCALE, OFFSET)


def reduced(text: str, numbers: Numbers) -> tuple[NDArray[Any], ...]:
    one, stack = composite(text), stack_of(numbers)
    assert isinstance(one, ObservationComposite)
    out = tuple(layer.empty(*stack.shape, len(numbers)) for layer in one.layers)
    reduce_observations((one,), replace(stack, numbers=numbers.copy()), out)
    return out


def pixels(numbers: Numbers) -> Any:
    """Yield each pixel and its complete observations (observation, band)."""
    for y, x in np.ndindex(numbers.shape[2:]):
        seen = numbers[:, :, y, x].T.astype(np.float64)
        yield (y, x), seen[(seen != 0).all(axis=1)]


def stacks(most_days: int = 9) -> st.SearchStrategy[Numbers]:
    return digital_numbers(st.tuples(st.just(3), st.integers(1, most_days), st.integers(1, 3), st.integers(1, 4)))


def land(rng: np.random.Generator, days: int = 12, shape: tuple[int, int] = (4, 90), bands: int = 3) -> Numbers:
    """Observations around a spectrum, some with clouds or shadows, 60 % of them clear."""
    base = rng.integers(300, 4000, (bands, 1, *shape))
    light = rng.normal(1, 0.1, (1, days, *shape)) * rng.choice([1, 1, 1, 1, 0.4, 3], (1, days, *shape))
    numbers = np.clip(base * light + rng.normal(0, 60, (bands, days, *shape)), 1, 65535).astype(np.uint16)
    return np.where(rng.random((1, days, *shape)) < 0.6, numbers, 0).astype(np.uint16)


# ---- choices -------------------------------------------------------------------------------------


def plain_medoid(seen: NDArray[np.float64]) -> int:
    distances = np.sqrt(((seen[:, None] - seen[None]) ** 2).sum(axis=-1))
    return int((np.rint(distances * 2**20).astype(np.int64)).sum(axis=1).argmin())


def plain_nearest(seen: NDArray[np.float64]) -> int:
    return int(((seen - np.median(seen, axis=0)) ** 2).sum(axis=1).argmin())


def plain_index(index: Callable[..., Any], largest: bool) -> Plain:
    def choose(seen: NDArray[np.float64]) -> int:
        with np.errstate(all="ignore"):
            values = index(*(seen * SCALE + OFFSET).T)
        values = np.where(np.isfinite(values), values if largest else -values, -np.inf)
        return int(values.argmax()) if np.isfinite(values).any() else -1

    return choose


CHOICES: dict[str, Plain] = {
    "medoid": plain_medoid,
    "nearest-to-median": plain_nearest,
    "first": lambda seen: 0,
    "last": lambda seen: len(seen) - 1,
    "max-ndvi": plain_index(lambda red, green, nir: (nir - red) / (nir + red), True),
    "max:nir-0.5*(green+red)": plain_index(lambda red, green, nir: nir - 0.5 * (green + red), True),
    "min:-nir/2+.25": plain_index(lambda red, green, nir: -nir / 2 + 0.25, False),
}


@pytest.mark.parametrize("text", CHOICES)
@FEW
@given(numbers=stacks())
def test_a_choice_takes_all_bands_of_one_observation(text: str, numbers: Numbers) -> None:
    (found,) = reduced(text, numbers)
    for pixel, seen in pixels(numbers):
        chosen = CHOICES[text](seen) if len(seen) else -1
        np.testing.assert_array_equal(found[pixel], seen[chosen] if chosen >= 0 else 0)


@pytest.mark.parametrize("text", ["medoid", "nearest-to-median", "max-ndvi"])
def test_choices_of_many_pixels_and_days(text: str) -> None:
    numbers = land(np.random.default_rng(5), 40)
    (found,) = reduced(text, numbers)
    for pixel, seen in pixels(numbers):
        np.testing.assert_array_equal(found[pixel], seen[CHOICES[text](seen)])


# ---- geometric median ----------------------------------------------------------------------------


def cost(point: NDArray[np.float64], seen: NDArray[np.float64]) -> float:
    """Sum of distances."""
    return float(np.sqrt(((seen - point) ** 2).sum(axis=1)).sum())


def plain_geomedians(pixels: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """The best of each pixel's observations and of many plain iterations of Weiszfeld, from their mean."""
    days = max(map(len, pixels))
    seen = np.stack([np.pad(one, [(0, days - len(one)), (0, 0)]) for one in pixels], axis=-1)  # (day, band, pixel)
    counts = np.arange(days)[:, None] < [len(one) for one in pixels]
    points = seen.sum(axis=0) / counts.sum(axis=0)
    moving = np.ones(len(pixels), bool)
    for _ in range(3000):
        some = seen[..., moving]
        weights = counts[:, moving] / np.maximum(np.sqrt(((some - points[:, moving]) ** 2).sum(axis=1)), 1e-9)
        moved = (some * weights[:, None]).sum(axis=0) / weights.sum(axis=0)
        still = np.abs(moved - points[:, moving]).max(axis=0) >= 1e-9
        points[:, moving] = moved
        moving[moving] = still
        if not still.any():
            break
    return [min([points[:, at], *one], key=lambda p, one=one: cost(p, one)) for at, one in enumerate(pixels)]  # type: ignore[misc]


def plain_geomedian(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    return plain_geomedians([seen])[0]


def geomedian(*observations: tuple[float, ...]) -> list[float]:
    numbers = np.array(observations, np.uint16).T[:, :, None, None]
    stack = Stack(numbers, BANDS[: len(numbers)], np.zeros(len(observations), "datetime64[ns]"), SCALE, OFFSET)
    return [float(value) for value in geomedian_of(stack)[:, 0, 0]]


@FEW
@given(rng=RANDOM)
def test_no_point_has_a_smaller_sum_of_distances(rng: np.random.Generator) -> None:
    numbers = land(rng, int(rng.integers(1, 16)), (2, 20))
    found = geomedian_of(stack_of(numbers)).astype(np.float64)
    some = [(found[:, y, x], seen) for (y, x), seen in pixels(numbers) if len(seen)]
    assert np.isfinite(found).all(axis=0).sum() == np.isfinite(found).any(axis=0).sum() == len(some)
    assert all(np.isfinite(point).all() for point, _ in some)
    for (point, seen), best in zip(some, plain_geomedians([seen for _, seen in some]), strict=True):
        # Iterations end with a step below 0.05 DN.
        assert cost(point, seen) <= cost(best, seen) * (1 + 1e-5) + 0.05
    (rounded,) = reduced("geomedian", numbers)
    np.testing.assert_array_equal(rounded, np.nan_to_num(np.rint(found)).transpose(1, 2, 0))


@FEW
@given(numbers=stacks())
def test_extreme_numbers_and_equal_observations_converge(numbers: Numbers) -> None:
    found = geomedian_of(stack_of(numbers)).astype(np.float64)
    for (y, x), seen in pixels(numbers):
        if len(seen):
            assert cost(found[:, y, x], seen) <= cost(plain_geomedian(seen), seen) * (1 + 1e-5) + 0.1


def test_one_observation_is_itself_and_of_two_it_is_their_mean() -> None:
    assert geomedian((7, 9)) == [7, 9]
    assert geomedian((100, 200), (201, 300)) == [150.5, 250]


def test_an_equilateral_triangle_has_its_centre() -> None:
    side = 1000.0
    high = side * 3**0.5 / 2
    found = geomedian((2000, 2000), (2000 + side, 2000), (2000 + side / 2, round(2000 + high)))
    np.testing.assert_allclose(found, [2000 + side / 2, 2000 + high / 3], atol=0.3)


@pytest.mark.parametrize("degrees", [120.5, 135, 179])
def test_a_vertex_with_an_angle_of_120_degrees_or_more_is_the_geometric_median(degrees: float) -> None:
    x, y = 3000 * np.cos(np.radians(degrees)), 3000 * np.sin(np.radians(degrees))
    found = geomedian((10000, 10000), (13000, 10000), (round(10000 + x), round(10000 + y)))
    np.testing.assert_allclose(found, [10000, 10000], atol=0.5)


@pytest.mark.parametrize("third", [(3000, 4000), (2500, 2900), (3200, 3000)])
def test_a_triangle_has_its_fermat_point_from_which_each_pair_is_seen_at_120_degrees(third: tuple[int, int]) -> None:
    corners = np.array([(2000, 2000), (4500, 2300), third], np.float64)
    to_corners = corners - geomedian(*map(tuple, corners))
    directions = to_corners / np.linalg.norm(to_corners, axis=1, keepdims=True)
    np.testing.assert_allclose([directions[i] @ directions[i - 1] for i in range(3)], -0.5, atol=0.001)


def test_an_observation_that_almost_balances_the_others_ends_no_iteration_early() -> None:
    """Steps near this observation are shorter than 0.05 DN, up to 5 DN from the result."""
    rng, pixels = np.random.default_rng(0), 400
    turn, half = rng.uniform(0, 2 * np.pi, pixels), np.arccos(rng.normal(0, 0.01, pixels))  # of a sum of unit vectors
    angles = np.stack([turn, turn + half, turn - half])
    reach = rng.integers(300, 20000, (3, pixels))
    others = np.rint(30000 + reach * np.stack([np.cos(angles), np.sin(angles)]))
    numbers = np.concatenate([np.full((2, 1, pixels), 30000.0), others], axis=1)
    found = geomedian_of(stack_of(numbers.astype(np.uint16)[:, :, None]))[:, 0].astype(np.float64)
    arms = others - 30000
    directions = arms / np.linalg.norm(arms, axis=0)
    pull = directions.sum(axis=1)
    length = np.linalg.norm(pull, axis=0)
    along = (directions * (pull / length)[:, None]).sum(axis=0)
    bend = ((1 - along**2) / np.linalg.norm(arms, axis=0)).sum(axis=0)
    best = 30000 + np.maximum(length - 1, 0) / bend * pull / length
    errors = np.linalg.norm(found - best, axis=0)
    assert 50 < (length < 1).sum() < pixels - 50
    assert errors[length < 1].max() == 0
    near = np.linalg.norm(best - 30000, axis=0) < 10  # where the sum of distances is a parabola
    assert (near & (length > 1)).sum() > 20
    assert errors[near].max() < 0.5


def test_pixels_whose_iteration_reaches_its_bound_are_counted() -> None:
    slow = np.array([[65486, 58885, 8978, 54983, 54538], [3191, 64136, 6976, 17748, 57820]], np.uint16)
    usual = land(np.random.default_rng(0), 5, (1, 50), 2)
    numbers = np.concatenate([usual, slow[:, :, None, None], slow[:, ::-1, None, None]], axis=3)
    stack = stack_of(numbers)
    found = geomedian_of(stack).astype(np.float64)
    assert stack.counts == {"geomedian_unfinished": 2}
    for (y, x), seen in pixels(numbers[..., 50:]):
        assert cost(found[:, y, x + 50], seen) <= cost(plain_geomedian(seen), seen) * (1 + 1e-5)


def test_a_square_has_its_centre_and_a_rectangle_too() -> None:
    assert geomedian((100, 100), (100, 201), (201, 100), (201, 201)) == [150.5, 150.5]
    np.testing.assert_allclose(geomedian((100, 100), (100, 300), (5100, 100), (5100, 300)), [2600, 200], atol=0.05)


def test_collinear_observations_have_the_median_on_their_line() -> None:
    on_a_line = [(100 + 3 * t, 50 + 7 * t, 900 + t) for t in (0, 5, 6, 80, 1000)]
    assert geomedian(*on_a_line) == [*map(float, on_a_line[2])]
    assert geomedian(*on_a_line[:4]) == [(a + b) / 2 for a, b in zip(on_a_line[1], on_a_line[2], strict=True)]


def test_several_equal_observations_outweigh_the_others() -> None:
    assert geomedian((500, 500), (500, 500), (500, 500), (9000, 70), (20, 8000)) == [500, 500]
    assert geomedian(*[(65535, 1, 40)] * 5) == [65535, 1, 40]


@FEW
@given(rng=RANDOM)
def test_the_result_depends_on_the_observations_of_a_pixel_alone(rng: np.random.Generator) -> None:
    """Any order, any neighbours, any number of pixels in a row, several threads: each bit is equal."""
    numbers = land(rng, 9, (3, 150))
    whole = geomedian_of(stack_of(numbers))
    order = rng.permutation(9)
    np.testing.assert_array_equal(geomedian_of(stack_of(numbers[:, order])), whole)
    more = np.concatenate([np.zeros_like(numbers[:, :2]), numbers, np.zeros_like(numbers[:, :1])], axis=1)
    np.testing.assert_array_equal(geomedian_of(stack_of(more)), whole)
    columns = rng.permutation(150)
    np.testing.assert_array_equal(geomedian_of(stack_of(numbers[..., columns])), whole[..., columns])
    with ThreadPoolExecutor(3) as pool:
        parts = pool.map(lambda x: geomedian_of(stack_of(numbers[..., x : x + 7])), range(0, 150, 7))
        np.testing.assert_array_equal(np.concatenate(list(parts), axis=-1), whole)


@pytest.mark.parametrize("text", ["medoid", "nearest-to-median", "mads", "max-ndvi", "geomedian"])
def test_strips_and_columns_change_no_composite(text: str) -> None:
    numbers = land(np.random.default_rng(8))
    for layer, other in zip(reduced(text, numbers), reduced(text, numbers[:, :, 1:3, 17:]), strict=True):
        np.testing.assert_array_equal(other, layer[1:3, 17:])


def test_the_sum_of_distances_is_not_larger_than_that_of_geomad() -> None:
    import geomad  # takes a second

    numbers = land(np.random.default_rng(3), shape=(20, 60))
    found = geomedian_of(stack_of(numbers)).astype(np.float64)
    stacked = np.where((numbers != 0).all(axis=0), numbers, np.nan).astype(np.float32).transpose(2, 3, 0, 1)
    theirs = geomad.nangeomedian_pcm(np.ascontiguousarray(stacked), eps=1e-4, maxiters=1000, num_threads=1)
    difference = np.abs(found.transpose(1, 2, 0) - theirs).max(axis=-1)
    assert np.nanpercentile(difference, [50, 90]).max() < 6  # its error where the sum of distances is flat is larger
    for (y, x), seen in pixels(numbers):
        if len(seen):
            assert cost(found[:, y, x], seen) <= cost(theirs[y, x].astype(np.float64), seen) * (1 + 1e-5) + 0.05


# ---- deviations ----------------------------------------------------------------------------------


def plain_mads(seen: NDArray[np.float64], centre: NDArray[np.float64]) -> list[float]:
    one, other = seen * SCALE + OFFSET, centre * SCALE + OFFSET
    lengths = np.sqrt((one**2).sum(axis=1) * (other**2).sum())
    return [
        float(np.median(distances))
        for distances in (
            np.sqrt(((one - other) ** 2).sum(axis=1)),
            1 - (one * other).sum(axis=1) / lengths,
            np.abs(one - other).sum(axis=1) / np.abs(one + other).sum(axis=1),
        )
    ]


def test_deviations_are_medians_of_the_distances_to_the_geometric_median() -> None:
    numbers = land(np.random.default_rng(4))
    numbers[:, :, 0, 0] = 0
    centre = geomedian_of(stack_of(numbers)).astype(np.float64)
    found = np.stack(reduced("mads", numbers))
    assert found.dtype == np.float32
    assert np.isnan(found[:, 0, 0]).all()
    for (y, x), seen in pixels(numbers):
        if len(seen):
            np.testing.assert_allclose(found[:, y, x], plain_mads(seen, centre[:, y, x]), rtol=1e-4, atol=1e-7)


def test_a_distance_that_is_not_defined_does_not_count() -> None:
    """Reflectance 0 in all bands has no angle, and two of them no Bray-Curtis distance."""
    numbers = np.full((3, 3, 1, 1), 1000, np.uint16)
    emad, smad, bcmad = (layer[0, 0] for layer in reduced("mads", numbers))
    assert emad == pytest.approx(0, abs=1e-9)
    assert np.isnan([smad, bcmad]).all() or (smad, bcmad) == pytest.approx((0, 0), abs=1e-6)


# ---- expressions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "nir.real", "nir[0]", "f(nir)", "nir**2", "nir//2", "nir if red else green", "nir;red", "lambda:nir", "nir,red",
        "0x10*nir", "1_0*nir", "1j*nir", "1e5*nir", "+nir", "'a'", "__import__", "nir and red", "(nir", "nir red",
        "2*3",         "nir" + "+nir" * 80, "-" * 50 + "nir", "nïr",
    ],
)  # fmt: skip
def test_an_expression_has_nothing_but_bands_numbers_and_four_operations(expression: str) -> None:
    with pytest.raises(InputError, match=r"^composite max:") as error:
        composites_of((f"max:{expression}",), "v", BANDS)
    assert "\n" not in str(error.value)


def test_a_band_that_the_cube_does_not_have_is_named() -> None:
    with pytest.raises(InputError, match="composite max-ndvi: it needs the band nir, and the cube has red; add it"):
        composites_of(("max-ndvi",), "v", ("red",))
    with pytest.raises(InputError, match=r"composite min:blue/red: it needs the band blue"):
        composites_of(("min:blue/red",), "v", ("red",))


def test_two_expressions_with_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="both have the variable max_nir_minus_red"):
        composites_of(("max:nir-red", "max:(nir)-red"), "v", BANDS)


def test_mads_need_the_geomedian() -> None:
    with pytest.raises(InputError, match="composite mads: it needs geomedian too; add --composite geomedian"):
        composites_of(("mads",), "v", BANDS)
