"""Scenes of a cube: footprint, bands, solar day, duplicates (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

SCALE = 0.0001
"""Reflectance of one digital number: `reflectance = DN * SCALE + offset`."""


FOOTPRINT_MARGIN = 0.02
"""Degrees of latitude by which footprints are grown: they are simplified polygons, and valid pixels lie outside."""


LOWEST_COSINE = math.cos(math.radians(85.0))
"""No footprint is stretched further than one at 85 degrees of latitude."""


@dataclass(frozen=True, slots=True)
class BandAsset:
    """One band of one scene."""

    href: str
    """Absolute path or URL."""
    offset: float
    """True offset of its reflectance, 0 for categorical bands."""
    nodata: int
    """Digital number that is no data, besides 0."""
    size: int
    """Bytes of the file where the item says so, else 0."""
    pixels: int
    """Pixels of the full raster where the item says so, else 0."""
    pixel_size: float
    """Side of a pixel in metres where the item says so, else 10."""
    height: int = 0
    """Rows of the full raster where the asset itself says so, else 0; it is held to that when it is read."""
    width: int = 0
    crs: str = ""
    """Authority code where the item says so, else empty; likewise."""
    dtype: str = ""
    """Data type where the asset says so, else empty; likewise."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the cube needs to know of one item."""

    id: str
    datetime: datetime
    """Acquisition, UTC."""
    footprint: BaseGeometry
    """Valid area in degrees, in the longitudes of the cube (above 180 across the antimeridian)."""
    acquisition: str
    """Platform, datatake and MGRS tile: equal for reprocessed duplicates; empty where unknown."""
    baseline: tuple[int, ...]
    """Processing baseline, such as (5, 9)."""
    revision: str
    """Hash of everything about the item that can change a pixel."""
    bands: Mapping[str, BandAsset]

    def solar_day(self) -> date:
        """Local solar date, whole hours from the footprint's longitude as `odc.stac` counts them."""
        return (self.datetime + timedelta(hours=int(self.footprint.centroid.x / 15))).date()

    def reach(self) -> BaseGeometry:
        """Footprint grown by the margin within which its pixels count."""
        reach: BaseGeometry = grown(np.array([self.footprint]))[0]
        return reach


def grown(footprints: NDArray[np.object_]) -> NDArray[np.object_]:
    """Footprints grown by `FOOTPRINT_MARGIN`, stretched by latitude so that it is as wide on the ground."""
    latitude = np.abs(shapely.get_y(shapely.centroid(footprints)))
    cosine = np.maximum(LOWEST_COSINE, np.cos(np.radians(latitude)))
    reach: NDArray[np.object_] = shapely.buffer(footprints, FOOTPRINT_MARGIN / cosine, quad_segs=16)
    return reach


def without_duplicates(scenes: Iterable[Scene]) -> list[Scene]:
    """Keep, of each acquisition and tile, the scenes of the newest baseline; ordered by time, then id."""
    newest: dict[str, tuple[int, ...]] = {}
    unique = {scene.id: scene for scene in scenes}.values()
    for scene in unique:
        if scene.acquisition:
            newest[scene.acquisition] = max(scene.baseline, newest.get(scene.acquisition, ()))
    kept = [s for s in unique if not s.acquisition or s.baseline == newest[s.acquisition]]
    return sorted(kept, key=lambda scene: (scene.datetime, scene.id))
