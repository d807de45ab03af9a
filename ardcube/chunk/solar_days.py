"""Group scenes into observations: one per solar day."""

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
    """Scenes that are fused to one observation."""

    date: date
    scenes: tuple[Scene, ...]
    """In the order of `in_order`. The first clear and valid pixel counts."""

    def newer(self, scene: Scene) -> list[Scene]:
        """Return the newer processings of a scene's acquisition."""
        same = [other for other in self.scenes if scene.acquisition and other.acquisition == scene.acquisition]
        return [other for other in same if other.processing > scene.processing]


def solar_days(scenes: Iterable[Scene]) -> list[SolarDay]:
    """Group scenes by their local solar day, ordered by day."""
    ordered = sorted(scenes, key=Scene.solar_day)
    return [SolarDay(day, in_order(group)) for day, group in groupby(ordered, key=Scene.solar_day)]


def in_order(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """Return scenes by time, then id. Processings of one acquisition that follow each other begin with the newest.

    Which of them comes first changes no pixel, because an older one never counts where a newer one is valid. After the
    newest one few pixels are missing.
    """
    ordered = sorted(scenes, key=lambda scene: (scene.datetime, scene.id))
    runs = groupby(ordered, key=lambda scene: scene.acquisition or f"only {scene.id}")
    return tuple(found for _, run in runs for found in sorted(run, key=lambda scene: scene.processing, reverse=True))


def dates_of(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Return the dates of solar days: datetime64[ns] (day,), the unit that xarray uses."""
    return np.array([day.date for day in days], "datetime64[ns]")
