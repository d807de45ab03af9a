"""Which scenes reach an area (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import FOOTPRINT_MARGIN, LOWEST_COSINE, Scene, grown

_WIDEST = FOOTPRINT_MARGIN / LOWEST_COSINE * 1.001
"""Degrees by which no footprint is grown."""


class SceneIndex:
    """Scenes of one period, to be asked which of them reach an area.

    Footprints are grown by their margin only where they come near: there may be very many, and a chunk meets few.

    Parameters
    ----------
    scenes : sequence of Scene
        In order of time, then id. Looked at only where they are asked for.
    footprints : object (scene,), optional
        Their footprints, where they are at hand as an array.
    """

    def __init__(self, scenes: Sequence[Scene], footprints: NDArray[np.object_] | None = None) -> None:
        self.scenes = scenes
        if footprints is None:
            footprints = np.array([scene.footprint for scene in scenes], object)
        self._footprints = footprints
        # No tree: it takes longer to build than all questions of a worker, and a period is looked at by few chunks.
        self._bounds = shapely.bounds(footprints).reshape(-1, 4).T

    def meeting(self, area: BaseGeometry) -> list[Scene]:
        """Scenes whose grown footprint meets `area` (degrees), in order of time, then id."""
        west, south, east, north = self._bounds
        x0, y0, x1, y1 = area.bounds
        # Of what is no further away than the widest margin, the grown footprint decides.
        near = np.flatnonzero(
            (west <= x1 + _WIDEST) & (east >= x0 - _WIDEST) & (south <= y1 + _WIDEST) & (north >= y0 - _WIDEST)
        )
        met = near[shapely.intersects(grown(self._footprints[near]), area)]
        return [self.scenes[int(index)] for index in met]


class AreaIndex:
    """Areas, to be asked which scenes reach each of them.

    Parameters
    ----------
    areas : object (area,)
        Polygons in degrees.
    """

    def __init__(self, areas: NDArray[np.object_]) -> None:
        self._tree = shapely.STRtree(areas)

    def met_by(self, scenes: Sequence[Scene]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Join with scenes.

        Returns
        -------
        starts : int64 (area + 1,)
            Where the scenes of each area begin in `members`, and where the last one's end.
        members : int64 (pair,)
            Positions in `scenes`: those whose grown footprint meets the area, in order.
        """
        footprints = np.array([scene.footprint for scene in scenes], object)
        scene, area = self._tree.query(grown(footprints), predicate="intersects")
        order = np.lexsort((scene, area))
        counts = np.bincount(area, minlength=len(self._tree))
        return np.concatenate([[0], np.cumsum(counts)]), scene[order]
