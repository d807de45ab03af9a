"""Colours of a composite: bands, and one stretch for all periods (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ardcube.store.schema import FILL

_TRUE_COLOUR = ("red", "green", "blue")
_GAMMA = 1.4
"""Exponent of the stretch: brightens forest and water, and changes bright soil little."""
_PERCENTILES = (2, 98)
_NUMBERS = 2**16
"""Digital numbers that a uint16 may have."""


def digital_numbers(means: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round means to digital numbers; nodata where there is none."""
    return np.nan_to_num(np.rint(means), nan=FILL).astype(np.uint16)


def shown_bands(bands: Sequence[str]) -> list[int]:
    """Return the positions of the bands of a picture: red, green and blue if they exist, else the first."""
    return [bands.index(band) for band in (_TRUE_COLOUR if set(_TRUE_COLOUR) <= set(bands) else bands[:1])]


def stretch_of(pictures: Sequence[NDArray[np.uint16]], fill: int) -> tuple[float, float]:
    """Return the digital numbers shown as black and white, for all periods and bands."""
    # Percentiles of digital numbers are those of reflectance, because the encoding is linear. They are found in the
    # histogram, because the pixels of all pictures in one array take twice the memory.
    histogram = np.zeros(_NUMBERS, np.int64)
    for numbers in pictures:
        histogram += np.bincount(numbers.ravel(), minlength=_NUMBERS)
    histogram[fill] = 0
    upto = histogram.cumsum()
    if not upto[-1]:
        return 0.0, 1.0
    low, high = (_percentile(upto, percent) for percent in _PERCENTILES)
    return low, max(high, low + 1)


def _percentile(upto: NDArray[np.int64], percent: int) -> float:
    """Return a percentile by linear interpolation, as `numpy.percentile`, from a cumulative histogram."""
    position = percent / 100 * (int(upto[-1]) - 1)
    below, above = np.searchsorted(upto, [int(position), min(int(position) + 1, int(upto[-1]) - 1)], side="right")
    return float(below + (position - int(position)) * (above - below))


def stretched(numbers: NDArray[np.uint16], low: float, high: float, fill: int) -> NDArray[np.uint8]:
    """Stretch (y, x, 1 or 3) digital numbers into uint8 (4, y, x); transparent where a band is nodata."""
    share = np.clip((numbers.astype(np.float32) - low) / (high - low), 0, 1) ** (1 / _GAMMA)
    colour = np.broadcast_to(np.rint(share * 255), (*numbers.shape[:2], 3))
    alpha = np.where((numbers != fill).all(axis=-1, keepdims=True), 255, 0)
    # Transparent pixels are black, because viewers without alpha would show noise.
    rgba = np.concatenate([np.where(alpha > 0, colour, 0), alpha], axis=-1)
    return rgba.astype(np.uint8).transpose(2, 0, 1)
