"""Find the scenes whose reach intersects an area (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import Scene, add_margin, grow_bounds


class SceneIndex:
    """Scenes of one period, searchable by area.

    The margin is added only to footprints near the area, because a period has many scenes and a chunk needs few.

    Parameters
    ----------
    scenes : sequence of Scene
        In order of time, then id. Only the scenes that a query returns are accessed.
    footprints : object (scene,), optional
        Footprints of the scenes, if the caller has them as an array.
    """

    def __init__(self, scenes: Sequence[Scene], footprints: NDArray[np.object_] | None = None) -> None:
        self.scenes = scenes
        if footprints is None:
            footprints = np.array([scene.footprint for scene in scenes], object)
        self._footprints = footprints
        # No STRtree: building one takes longer than all queries of a worker, because few chunks query a period.
        self._bounds = shapely.bounds(footprints).reshape(-1, 4).T

    def query(self, area: BaseGeometry) -> list[Scene]:
        """Return the scenes whose reach intersects `area` (degrees), in order of time, then id."""
        west, south, east, north = self._bounds
        x0, y0, x1, y1 = grow_bounds(area.bounds)
        near = np.flatnonzero((west <= x1) & (east >= x0) & (south <= y1) & (north >= y0))
        meets = shapely.intersects(self._footprints[near], area)
        meets[~meets] = shapely.intersects(add_margin(self._footprints[near[~meets]]), area)
        return [self.scenes[int(index)] for index in near[meets]]


class AreaIndex:
    """Areas that can be joined with scenes.

    Parameters
    ----------
    areas : object (area,)
        Polygons in degrees.
    """

    def __init__(self, areas: NDArray[np.object_]) -> None:
        self._tree = shapely.STRtree(areas)

    def join(self, scenes: Sequence[Scene]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Join the areas with the scenes whose reach intersects them.

        Returns
        -------
        starts : int64 (area + 1,)
            The scenes of area `i` are `members[starts[i]:starts[i + 1]]`.
        members : int64 (pair,)
            Positions in `scenes`, ascending for each area.
        """
        footprints = np.array([scene.footprint for scene in scenes], object)
        scene, area = self._tree.query(add_margin(footprints), predicate="intersects")
        order = np.lexsort((scene, area))
        counts = np.bincount(area, minlength=len(self._tree))
        return np.concatenate([[0], np.cumsum(counts)]), scene[order]
