"""Group scenes into observations: one per solar day and sensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene


@dataclass(frozen=True, slots=True)
class SolarDay:
    """Scenes of one sensor on one solar day, which are fused to one observation."""

    date: date
    sensor: str
    """Name of the sensor; empty if unknown."""
    scenes: tuple[Scene, ...]
    """In the order of `in_order`. The first clear and valid pixel counts."""

    def newer(self, scene: Scene) -> list[Scene]:
        """Return the newer processings of a scene's acquisition."""
        same = [other for other in self.scenes if scene.acquisition and other.acquisition == scene.acquisition]
        return [other for other in same if other.processing > scene.processing]


def solar_days(scenes: Iterable[Scene]) -> list[SolarDay]:
    """Group scenes by their local solar day and sensor, ordered by day, then sensor."""
    groups = groupby(sorted(scenes, key=Scene.observation), key=Scene.observation)
    return [SolarDay(day, sensor, in_order(group)) for (day, sensor), group in groups]


def in_order(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """Return scenes by time, then id. Processings of one acquisition that follow each other begin with the newest.

    Which of them comes first changes no pixel, because an older one never counts where a newer one is valid. After the
    newest one few pixels are missing.
    """
    ordered = sorted(scenes, key=lambda scene: (scene.datetime, scene.id))
    runs = groupby(ordered, key=lambda scene: scene.acquisition or f"only {scene.id}")
    return tuple(found for _, run in runs for found in sorted(run, key=lambda scene: scene.processing, reverse=True))


def dates_of(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Return the dates of solar days: datetime64[ns] (day,), the unit that xarray uses.

    A date comes once for each sensor that observed on this day.
    """
    return np.array([day.date for day in days], "datetime64[ns]")
