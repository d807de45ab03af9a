"""Masks as bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ardcube.pixels.bitmask import packed, unpacked
from tests.strategies import FEW, RANDOM


@FEW
@given(rng=RANDOM, height=st.integers(0, 3), width=st.integers(1, 40))
def test_a_mask_comes_back_and_nothing_is_set_beyond_it(rng: np.random.Generator, height: int, width: int) -> None:
    mask = rng.random((height, width)) < 0.5
    bits = packed(mask)
    assert bits.shape == (height, -(-width // 8))
    np.testing.assert_array_equal(unpacked(bits, width), mask)
    assert np.unpackbits(bits, axis=1)[:, width:].sum() == 0
