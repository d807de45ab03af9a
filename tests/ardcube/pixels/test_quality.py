"""Kernels and layers of quality, against plain NumPy, pixel by pixel."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.pixels.bitmask import packed
from ardcube.pixels.median import count_days
from ardcube.pixels.quality.layers import ClearShare, FirstDate, LastDate, MedianDate, Seen, SensorShare, Spread
from tests.oracle.quality import NO_DAY, spread
from tests.strategies import FEW, digital_numbers

START = date(2023, 8, 1)


def spread_of(numbers: NDArray[np.uint16]) -> NDArray[np.uint16]:
    out = np.full(numbers.shape[1:], 65535, np.uint16)
    Spread().reduce_band(numbers, out)
    return out


@FEW
@given(
    numbers=digital_numbers(st.tuples(st.integers(0, 12), st.integers(1, 3), st.integers(1, 9))), seed=st.integers(0, 9)
)
def test_the_spread_is_that_of_numpy_in_any_order_and_strip(numbers: NDArray[np.uint16], seed: int) -> None:
    found = spread_of(numbers)
    for pixel in np.ndindex(found.shape):
        assert found[pixel] == spread([int(number) for number in numbers[(slice(None), *pixel)]])
    shuffled = np.random.default_rng(seed).permutation(numbers, axis=0)
    np.testing.assert_array_equal(spread_of(np.ascontiguousarray(shuffled)), found)
    np.testing.assert_array_equal(spread_of(numbers[:, :1].copy()), found[:1])
    np.testing.assert_array_equal(spread_of(numbers[:, :, -1:].copy()), found[:, -1:])


def test_the_spread_of_extreme_numbers_does_not_wrap() -> None:
    numbers = np.array([1, 65535, 65535, 1, 1], np.uint16).reshape(5, 1, 1)
    assert spread_of(numbers[:2]) == 32767  # from the median 32768
    assert spread_of(numbers[:3]) == 0
    assert spread_of(numbers[1:4]) == 0
    assert spread_of(np.array([1, 1, 65535, 65535], np.uint16).reshape(4, 1, 1)) == 32767
    assert spread_of(numbers[:1]) == 0


@FEW
@given(
    clear=st.lists(st.lists(st.booleans(), min_size=11, max_size=11), max_size=7),
    days=st.lists(st.integers(-1, 40), min_size=7, max_size=7).map(sorted),
    masked=st.lists(st.integers(0, 5), min_size=11, max_size=11),
)
def test_dates_and_shares_are_those_of_the_clear_observations(
    clear: list[list[bool]], days: list[int], masked: list[int]
) -> None:
    seen_at = np.array(clear, bool).reshape(len(clear), 1, 11)
    dates = np.datetime64(START) + np.array(days[: len(clear)], "timedelta64[D]")
    sensors = tuple("AB"[number % 2] if number < 4 else "C" for number in range(len(clear)))
    bits = packed(seen_at) if len(clear) else np.zeros((0, 1, 2), np.uint8)
    count = count_days(bits, 11)
    seen = Seen(bits, dates.astype("datetime64[ns]"), sensors, count, count + np.array([masked], np.uint16), START)

    def filled(one: Any) -> Any:
        out = one.layer.empty(1, 11, 1)
        one.fill(seen, out)
        return out[0]

    results = [filled(one) for one in (FirstDate(), MedianDate(), LastDate(), ClearShare())]
    shares = [filled(SensorShare(sensor, ("A", "B"))) for sensor in ("A", "B", "other")]
    for x in range(11):
        own = [k for k in range(len(clear)) if clear[k][x]]
        total = len(own) + masked[x]
        some = [days[k] for k in own]
        expected = (some[0], some[(len(some) - 1) // 2], some[-1]) if some else (NO_DAY,) * 3
        assert tuple(result[x] for result in results[:3]) == expected
        np.testing.assert_equal(results[3][x], np.float32(len(own) / total) if total else np.float32(np.nan))
        for share, named in zip(shares, ("A", "B", "C"), strict=True):
            right = sum(sensors[k] == named for k in own) / len(own) if own else np.nan
            np.testing.assert_equal(share[x], np.float32(right))
