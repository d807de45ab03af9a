"""Figures of the scenes that give the pixels of observations, for composites that ask for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALL = slice(None)
MOST_CLOUD_METRES = 5000
"""Metres up to which a composite may ask for distances to cloud, because so much more of a scene is read."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Figures of scenes that a composite needs. They are computed only if a composite of the cube needs them."""

    cloud_cover: bool = False
    """Whether it needs the cloud cover that items state."""
    cloud_metres: int = 0
    """Metres up to which it needs distances to cloud, at most `MOST_CLOUD_METRES`; 0 for none. They exist with cloud
    masks that are evaluated for each scene."""

    @property
    def any(self) -> bool:
        """Whether it needs any figure."""
        return self.cloud_cover or self.cloud_metres > 0


@dataclass(frozen=True, slots=True)
class SceneFigures:
    """Figures of the scenes of the observations of a stack. Several scenes may give pixels of one observation."""

    source: NDArray[np.uint16]
    """Position of the scene that gave each pixel, uint16 (observation, y, x)."""
    cloud_covers: tuple[tuple[float, ...], ...]
    """Cloud cover of each scene of each observation by its item, in percent; NaN if unknown."""
    cloud_distances: tuple[tuple[NDArray[np.uint16], ...], ...] = ()
    """Whole metres (y, x) to the nearest pixel of the scene that is not clear, up to the longest distance that a
    composite needs, for each scene of each observation; empty if no composite needs them."""

    def cloud_cover(self, observation: int, rows: slice = _ALL) -> NDArray[np.float64]:
        """Return the cloud cover of the scene that gave each pixel of an observation: percent (y, x), NaN if unknown.

        Pixels without a number have that of any scene.
        """
        covers: NDArray[np.float64] = np.array(self.cloud_covers[observation])[self.source[observation, rows]]
        return covers

    def cloud_distance(self, observation: int, rows: slice = _ALL) -> NDArray[np.uint16]:
        """Return the distance to cloud in the scene that gave each pixel of an observation: whole metres (y, x).

        Pixels without a number have any distance.
        """
        first, *others = (distance[rows] for distance in self.cloud_distances[observation])
        if not others:
            return first
        distance = first.copy()
        for position, other in enumerate(others, 1):
            np.copyto(distance, other, where=self.source[observation, rows] == position)
        return distance


def needs_of(composites: Iterable[object]) -> Needs:
    """Return what some composites need together, by their optional member `needs`."""
    each: list[Needs] = [getattr(composite, "needs", Needs()) for composite in composites]
    return Needs(any(needs.cloud_cover for needs in each), max((needs.cloud_metres for needs in each), default=0))
