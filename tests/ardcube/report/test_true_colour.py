"""The stretch of pictures: percentiles of all valid pixels of all periods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.report.true_colour import stretch_of


@given(st.lists(st.lists(st.integers(0, 65535), min_size=1, max_size=40), min_size=1, max_size=4))
def test_the_stretch_has_the_percentiles_of_the_valid_numbers(pictures: list[list[int]]) -> None:
    arrays = [np.array(numbers, np.uint16).reshape(1, -1, 1) for numbers in pictures]
    valid = np.concatenate([numbers[numbers != 0] for numbers in arrays])
    low, high = stretch_of(arrays, 0)
    if valid.size == 0:
        assert (low, high) == (0.0, 1.0)
        return
    expected = np.percentile(valid.astype(np.float64), (2, 98))
    assert low == pytest.approx(expected[0], abs=1e-6)
    assert high == pytest.approx(max(expected[1], expected[0] + 1), abs=1e-6)
