"""Composites of each band by itself, against plain NumPy, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.pixels.composites.protocol import BandComposite, text_of
from ardcube.pixels.composites.registry import composite, composites_of
from tests.strategies import FEW, digital_numbers

Stack = NDArray[np.uint16]


def stacks(most_days: int = 12) -> st.SearchStrategy[Stack]:
    return digital_numbers(st.tuples(st.integers(1, most_days), st.integers(1, 4), st.integers(1, 4)))


def half_even(value: Fraction) -> int:
    return round(value)  # Python rounds fractions half to even


def plain_percentile(values: list[int], percent: Fraction) -> int:
    position = (len(values) - 1) * percent / 100
    low = int(position)
    ordered = sorted(values)
    high = ordered[min(low + 1, len(values) - 1)]
    return half_even(ordered[low] + (high - ordered[low]) * (position - low))


def plain_deviation(values: list[int]) -> int:
    mean = Fraction(sum(values), len(values))
    return int(np.rint(float(sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5))


PLAIN: dict[str, Callable[[list[int]], int]] = {
    "median": lambda values: plain_percentile(values, Fraction(50)),
    "mean": lambda values: half_even(Fraction(sum(values), len(values))),
    "min": min,
    "max": max,
    "std": plain_deviation,
    "percentile:0": min,
    "percentile:25": lambda values: plain_percentile(values, Fraction(25)),
    "percentile:33.333": lambda values: plain_percentile(values, Fraction(33333, 1000)),
    "percentile:50": lambda values: plain_percentile(values, Fraction(50)),
    "percentile:100": max,
}


def reduced(text: str, stack: Stack) -> NDArray[Any]:
    one = composite(text)
    assert isinstance(one, BandComposite)
    (layer,) = one.layers
    out = layer.empty(*stack.shape[1:], 1)
    one.reduce_band(stack, out[..., 0])
    return out[..., 0]


@pytest.mark.parametrize("text", PLAIN)
@FEW
@given(stack=stacks(40))
def test_a_composite_equals_its_definition(text: str, stack: Stack) -> None:
    found, fill = reduced(text, stack), composite(text).layers[0].fill
    for pixel in np.ndindex(found.shape):
        values = [int(value) for value in stack[:, *pixel] if value]
        assert found[pixel] == (PLAIN[text](values) if values else fill)


@pytest.mark.parametrize("text", PLAIN)
@FEW
@given(stack=stacks(), random=st.randoms(use_true_random=False))
def test_order_strips_and_empty_days_change_nothing(text: str, stack: Stack, random: Any) -> None:
    order = random.sample(range(len(stack)), len(stack))
    more = np.concatenate([stack[order], np.zeros((2, *stack.shape[1:]), np.uint16)])
    whole = reduced(text, stack)
    np.testing.assert_array_equal(reduced(text, more), whole)
    rows = [reduced(text, stack[:, row : row + 1]) for row in range(stack.shape[1])]
    np.testing.assert_array_equal(np.concatenate(rows), whole)


@pytest.mark.parametrize("text", PLAIN)
def test_without_days_there_is_no_observation(text: str) -> None:
    assert (reduced(text, np.zeros((0, 2, 3), np.uint16)) == composite(text).layers[0].fill).all()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["mode"], "composite mode is unknown; choose one of"),
        (["median:3"], "composite median:3: median takes no parameters; give median"),
        (["percentile"], "composite percentile: it needs a number; write it as percentile:25"),
        (["percentile:x"], "composite percentile:x: 'x' is not a number; write it as percentile:25"),
        (
            ["percentile:101"],
            "composite percentile:101: 101 is not a percentile; give a number 0 to 100 with at most 3",
        ),
        (["percentile:nan"], "composite percentile:nan: nan is not a percentile"),
        (["percentile:1.23456"], "composite percentile:1.23456: 1.23456 is not a percentile"),
        (["percentile:25", "percentile:25.0"], "composite percentile:25: it is given more than once; give it once"),
    ],
)
def test_wrong_names_and_parameters_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        composites_of(texts, "v", ("red",))
    assert str(error.value).startswith(message)


def test_equal_composites_have_equal_texts() -> None:
    assert [text_of(composite(text)) for text in ("percentile:25.0", "percentile:2.5e1")] == ["percentile:25"] * 2
