"""Which scenes reach an area (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from shapely.geometry.base import BaseGeometry

from ardcube.scenes import Scene


class SceneIndex:
    """Scenes of one period, to be asked which of them reach an area."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = tuple(scenes)
        self._tree = shapely.STRtree([scene.reach() for scene in self.scenes])

    def meeting(self, area: BaseGeometry) -> list[Scene]:
        """Scenes whose grown footprint meets `area` (degrees), in order of time, then id."""
        return [self.scenes[index] for index in sorted(self._tree.query(area, predicate="intersects"))]

    def meeting_each(self, areas: Sequence[BaseGeometry]) -> list[list[int]]:
        """For each area, the positions in `scenes` of those that meet it, in order."""
        found: list[list[int]] = [[] for _ in areas]
        for area, scene in zip(*self._tree.query(areas, predicate="intersects"), strict=True):
            found[area].append(int(scene))
        return [sorted(members) for members in found]
