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
    """Ordered by time, then id. The first valid pixel counts."""


def solar_days(scenes: Iterable[Scene]) -> list[SolarDay]:
    """Group scenes by their local solar day, ordered by day."""
    ordered = sorted(scenes, key=lambda scene: (scene.solar_day(), scene.datetime, scene.id))
    return [SolarDay(day, tuple(group)) for day, group in groupby(ordered, key=Scene.solar_day)]


def dates_of(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Return the dates of solar days: datetime64[ns] (day,), the unit that xarray uses."""
    return np.array([day.date for day in days], "datetime64[ns]")
