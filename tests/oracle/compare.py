"""Compare a cube with the oracle: equal in every value, but for ties of rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.oracle.cube import OracleCube

TIE = 1e-6
"""Digital numbers from a tie of rounding within which both roundings are right."""


def assert_equals_oracle(
    values: NDArray[np.uint16], count: NDArray[np.uint16], compute: Callable[[float], OracleCube]
) -> None:
    """Compare the pixels of a cube.

    Parameters
    ----------
    values : uint16 (time, y, x, band)
    count : uint16 (time, y, x)
    compute : callable
        Computes the oracle's cube with means moved by a number before they are rounded.
    """
    right = compute(0.0)
    assert right.values.any()
    np.testing.assert_array_equal(count, right.count)
    if np.array_equal(values, right.values):
        return
    low, high = compute(-TIE).values, compute(TIE).values
    wrong = (values < low) | (values > high)
    np.testing.assert_array_equal(np.where(wrong, values, 0), np.where(wrong, right.values, 0))
