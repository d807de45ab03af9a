"""Collect the figures of the scenes that give the pixels of observations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.fuse import SceneArea
from ardcube.pixels.composites.figures import SceneFigures


def scene_figures(observations: Sequence[Sequence[SceneArea]], source: NDArray[np.uint16]) -> SceneFigures:
    """Return the figures of the scenes of observations.

    Parameters
    ----------
    observations : sequence of sequence of SceneArea
        Scenes of each observation, in order.
    source : uint16 (observation, y, x)
        Position of the scene that gave each pixel.
    """
    covers = (tuple(area.scene.cloud_cover for area in areas) for areas in observations)
    distances = tuple(
        tuple(area.cloud_distance for area in areas if area.cloud_distance is not None) for areas in observations
    )
    return SceneFigures(
        source, tuple(tuple(math.nan if cover is None else cover for cover in each) for each in covers), distances
    )
