"""Choices of one observation per pixel in the oracle: scores of whole rasters, written out in plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Item = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeastCloudy:
    """The lowest `eo:cloud_cover`; items without it come last."""

    metres: int = 0

    def scores(self, item: Item, day: date, period: tuple[date, date], distance: Floats) -> Floats:
        """Return the score of the pixels that an item gives; the highest one is chosen."""
        cover = item["properties"].get("eo:cloud_cover")
        return np.full(distance.shape, -1000.0 if cover is None else -cover)


@dataclass(frozen=True, slots=True)
class BestPixel:
    """The weighted mean of a Gaussian of days, a sigmoid of the distance to cloud, and the clear share of the scene."""

    day: int | None = None
    sigma: float = 30.0
    metres: int = 1500
    date: float = 1.0
    cloud: float = 1.0
    coverage: float = 1.0

    def scores(self, item: Item, day: date, period: tuple[date, date], distance: Floats) -> Floats:
        """Return the score of the pixels that an item gives; the highest one is chosen."""
        if self.day is None:
            inside = [period[0] + timedelta(n) for n in range((period[1] - period[0]).days)]
            days = abs((day - inside[0]) / timedelta(1) - np.mean(range(len(inside))))
        else:
            targets = [date(day.year + shift, 1, 1) + timedelta(self.day - 1) for shift in (-1, 0, 1)]
            days = min(abs(day - target) / timedelta(1) for target in targets)
        share = np.minimum(distance, self.metres) / self.metres
        total = self.date * math.exp(-((days / self.sigma) ** 2) / 2) + self.cloud / (1 + np.exp(5 - 10 * share))
        weights, cover = self.date + self.cloud, item["properties"].get("eo:cloud_cover")
        if cover is not None:
            total, weights = total + self.coverage * (1 - cover / 100), weights + self.coverage
        return np.round(total / weights, 9)


Choice = LeastCloudy | BestPixel


def metres_to_cloud(cloud: NDArray[np.bool_], pixel: tuple[float, float], most: int) -> Floats:
    """Whole metres from each pixel to the nearest cloudy one, at most `most`, (row, column).

    Parameters
    ----------
    cloud : bool (row, column)
        Pixels with a class that are not clear.
    pixel : (float, float)
        Width and height of a pixel in metres.
    most : int
        Metres.
    """
    if not cloud.any():
        return np.full(cloud.shape, float(most))
    distance: Floats = distance_transform_edt(~cloud, sampling=pixel[::-1])
    return np.rint(np.minimum(distance, most))


def chosen(stack: NDArray[np.int64], scores: Sequence[Floats]) -> NDArray[np.uint16]:
    """All bands of the earliest observation with the highest score, (row, column, band), 0 where there is none.

    Parameters
    ----------
    stack : int64 (observation, band, row, column)
        Observations that lack a band do not count.
    scores : sequence of float64 (row, column)
        Of each observation.
    """
    complete = (stack != 0).all(axis=1)
    order = np.argsort(np.where(complete, -np.stack(scores), math.inf), axis=0, kind="stable")
    found = np.take_along_axis(stack, order[:1, None], axis=0)[0]
    return np.where(complete.any(axis=0), found, 0).transpose(1, 2, 0).astype(np.uint16)
