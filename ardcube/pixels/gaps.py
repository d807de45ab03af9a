"""Fill pixels without observation from the nearest observed periods (pure).

Nothing is filled from a filled pixel: all values come from pixels with observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ardcube.pixels.composites.protocol import Layer

Method = Literal["carry", "interpolate"]
EMPTY, OBSERVED, FILLED = 0, 1, 2
"""Values of the layer `filled`."""
NO_DISTANCE = 255
"""Distance of a pixel that is neither observed nor filled."""
MOST_PERIODS = 254
"""Largest distance in periods, because one byte holds it."""

LAYERS = (
    Layer(
        "origin of the pixel: no value, observed in the period, or filled from other periods",
        "flag",
        banded=False,
        name="filled",
        standard_name="status_flag",
        flags=("empty", "observed", "filled"),
    ),
    Layer(
        "periods between the pixel and the farthest period that it was filled from",
        "periods",
        banded=False,
        name="fill_distance",
    ),
)
"""Variables that a filled cube has in addition: the origin of a pixel, and its distance."""

Read = Callable[[int], NDArray[Any] | None]
"""Return the pixels of a period by its position on the time axis; None if it has none."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """The pixels of one chunk, and the observed periods that fill those without observation."""

    observed: NDArray[np.bool_]
    """(y, x): pixels with observations."""
    before: NDArray[np.uint8]
    """(y, x): periods since the last observed one; 0 if the pixel is not filled."""
    after: NDArray[np.uint8]
    """(y, x): periods until the next observed one; 0 if the pixel is not filled, or filled without it."""

    @classmethod
    def find(cls, counts: Read, period: int, shape: tuple[int, int], method: Method, most: int) -> Gaps:
        """Find the observed periods before and after each gap.

        Parameters
        ----------
        counts : callable
            Return the numbers of observations of a period, (y, x).
        period : int
            Position of the chunk on the time axis.
        shape : tuple of int
            Rows and columns of the chunk.
        method : str
            `carry`: the last observed period. `interpolate`: the last and the next one; a gap without both stays.
        most : int
            Largest distance in periods.
        """
        observed = _observed(counts(period), shape)
        before, after = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        for found, step in ((before, -1), (after, 1))[: 1 if method == "carry" else 2]:
            open_gaps = ~observed
            for distance in range(1, most + 1):
                if not open_gaps.any():
                    break
                here = open_gaps & _observed(counts(period + step * distance), shape)
                found[here] = distance
                open_gaps &= ~here
        if method == "interpolate":
            one_sided = (before == 0) | (after == 0)
            before[one_sided] = after[one_sided] = 0
        return cls(observed, before, after)

    @property
    def filled(self) -> NDArray[np.uint8]:
        """(y, x): `EMPTY`, `OBSERVED` or `FILLED`."""
        return np.where(self.observed, OBSERVED, np.where(self.before > 0, FILLED, EMPTY)).astype(np.uint8)

    @property
    def distance(self) -> NDArray[np.uint8]:
        """(y, x): periods to the farther one of the periods used, 0 if observed, `NO_DISTANCE` if empty."""
        farther = np.maximum(self.before, self.after)
        return np.where(self.observed | (farther > 0), farther, NO_DISTANCE).astype(np.uint8)

    def fill(self, values: NDArray[Any], read: Read, period: int, middles: Sequence[int], nodata: float) -> None:
        """Fill the gaps of one variable in place.

        Parameters
        ----------
        values : uint16 (y, x, band) or (y, x)
            Digital numbers of the chunk.
        read : callable
            Return the same variable of another period.
        period : int
            Position of the chunk on the time axis.
        middles : sequence of int
            Middle of each period, in any whole unit of time.
        nodata : float
            Value of a band without observation. A filled band is nodata if it is nodata in a period used.
        """
        at = np.flatnonzero(self.before)
        if at.size == 0:
            return
        flat = values.reshape(-1, *values.shape[2:])
        first = _gather(read, period, -1, self.before.reshape(-1)[at], at, flat, nodata)
        if not self.after.any():
            flat[at] = first
            return
        second = _gather(read, period, 1, self.after.reshape(-1)[at], at, flat, nodata)
        times = np.asarray(middles, np.int64)
        since = times[period] - times[period - self.before.reshape(-1)[at].astype(np.int64)]
        until = times[period + self.after.reshape(-1)[at].astype(np.int64)] - times[period]
        shape = (-1, *[1] * (flat.ndim - 1))
        between = weighted(first, second, until.reshape(shape), since.reshape(shape))
        flat[at] = np.where((first == nodata) | (second == nodata), nodata, between).astype(flat.dtype)


def weighted(
    first: NDArray[Any], second: NDArray[Any], of_first: NDArray[np.int64], of_second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the mean of whole numbers with whole weights, exactly, rounded half to even."""
    total = of_first + of_second
    whole, rest = np.divmod(first.astype(np.int64) * of_first + second.astype(np.int64) * of_second, total)
    up = (2 * rest > total) | ((2 * rest == total) & (whole % 2 == 1))
    rounded: NDArray[np.int64] = whole + up
    return rounded


def _observed(counts: NDArray[Any] | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    return np.zeros(shape, bool) if counts is None else counts > 0


def _gather(
    read: Read,
    period: int,
    step: int,
    distances: NDArray[np.uint8],
    at: NDArray[np.int64],
    like: NDArray[Any],
    nodata: float,
) -> NDArray[Any]:
    """Return the values of the pixels `at`, each from the period at its distance; periods are read one by one."""
    found = np.full((at.size, *like.shape[1:]), nodata, like.dtype)
    for distance in np.unique(distances).tolist():
        values = read(period + step * distance)
        if values is not None:
            here = distances == distance
            found[here] = values.reshape(like.shape)[at[here]]
    return found
