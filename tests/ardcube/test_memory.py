"""The memory of a chunk: bounded, and told beforehand."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ardcube.memory import STACK_BYTES, chunk_bytes, portion

SIDES = st.integers(1, 4096)
DAYS, BANDS = st.integers(0, 400), st.integers(1, 12)


@given(days=DAYS, height=SIDES, width=SIDES, bands=BANDS)
def test_a_portion_fits_or_is_a_single_band_of_few_rows(days: int, height: int, width: int, bands: int) -> None:
    at_once, rows = portion(days, height, width, bands)
    assert 1 <= at_once <= bands
    assert 1 <= rows <= height
    stacked = days * at_once * rows * width * 2
    assert stacked <= STACK_BYTES + days * width * 2  # rows are whole
    strips, groups = math.ceil(height / rows), math.ceil(bands / at_once)
    assert strips == 1 or at_once == 1
    assert strips * rows >= height
    assert groups * at_once >= bands


def test_the_usual_chunk_is_stacked_in_one_go() -> None:
    assert portion(12, 1200, 1200, 4) == (4, 1200)


@given(days=DAYS, pixels=st.integers(256, 2**24), bands=BANDS)
def test_memory_grows_with_each_part_and_holds_the_stack_and_the_output(days: int, pixels: int, bands: int) -> None:
    memory = chunk_bytes(days, pixels, bands)
    assert memory >= min(2 * days * bands * pixels, STACK_BYTES) + 2 * bands * pixels
    assert chunk_bytes(days + 4, pixels, bands) > memory
    assert chunk_bytes(days, 2 * pixels, bands) > memory
    assert chunk_bytes(days, pixels, bands + 1) > memory


def test_ten_times_the_dates_take_less_than_twice_the_memory() -> None:
    assert chunk_bytes(120, 1200 * 1200, 4) < 2 * chunk_bytes(12, 1200 * 1200, 4)
