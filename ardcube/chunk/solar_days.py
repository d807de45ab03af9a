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
        """Return the newer processings of a scene's acquisition; they come before the scene."""
        before = self.scenes[: self.scenes.index(scene)]
        return [other for other in before if scene.acquisition and other.acquisition == scene.acquisition]


def solar_days(scenes: Iterable[Scene]) -> list[SolarDay]:
    """Group scenes by their local solar day, ordered by day."""
    ordered = sorted(scenes, key=Scene.solar_day)
    return [SolarDay(day, in_order(group)) for day, group in groupby(ordered, key=Scene.solar_day)]


def in_order(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """Return scenes by time, then id, each followed by older processings of its acquisition, the newest first."""
    by_acquisition: dict[str, list[Scene]] = {}
    for scene in scenes:
        by_acquisition.setdefault(scene.acquisition or f"only {scene.id}", []).append(scene)
    groups = [sorted(group, key=lambda scene: scene.processing, reverse=True) for group in by_acquisition.values()]
    groups.sort(key=lambda group: (group[0].datetime, group[0].id))
    return tuple(scene for group in groups for scene in group)


def dates_of(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Return the dates of solar days: datetime64[ns] (day,), the unit that xarray uses."""
    return np.array([day.date for day in days], "datetime64[ns]")
