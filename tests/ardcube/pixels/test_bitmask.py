"""Masks packed into bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ardcube.pixels.bitmask import packed, unpacked
from tests.strategies import FEW, RANDOM


@FEW
@given(rng=RANDOM, height=st.integers(0, 3), width=st.integers(1, 40))
def test_packing_is_reversible_and_sets_no_bit_after_the_last_pixel(
    rng: np.random.Generator, height: int, width: int
) -> None:
    mask = rng.random((height, width)) < 0.5
    bits = packed(mask)
    assert bits.shape == (height, -(-width // 8))
    np.testing.assert_array_equal(unpacked(bits, width), mask)
    assert np.unpackbits(bits, axis=1)[:, width:].sum() == 0
