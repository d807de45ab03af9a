"""Scenes of a cube: footprint, reach, bands, solar day, processing (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.errors import SceneError
from ardcube.extent.antimeridian import place
from ardcube.fingerprint import digest

FOOTPRINT_MARGIN = 0.02
"""Degrees of latitude added around a footprint, because footprints are simplified and valid pixels extend beyond."""
LOWEST_COSINE = math.cos(math.radians(85.0))
"""Smallest cosine of latitude that scales the margin: poleward of 85 degrees it widens no further."""


@dataclass(frozen=True, slots=True)
class BandAsset:
    """File of one band of one scene, as the STAC item describes it."""

    href: str
    """Absolute path or URL."""
    scale: float
    """Reflectance of one digital number; 1 for categorical bands."""
    offset: float
    """Reflectance of the digital number 0; 0 for categorical bands."""
    nodata: int | None
    """Digital number of nodata, in addition to 0; None if neither the item, its collection nor the definition states
    it."""
    size: int
    """Bytes of the file, or 0 if unknown."""
    pixels: int
    """Pixels of the full raster, or 0 if unknown."""
    pixel_size: float
    """Side of a pixel in metres, or 10 if unknown."""
    height: int = 0
    """Rows of the full raster that the file must have, or 0 if the asset does not state them."""
    width: int = 0
    """Columns of the full raster that the file must have, or 0 if the asset does not state them."""
    crs: str = ""
    """Authority code that the file must have, or empty if the item does not state it."""
    dtype: str = ""
    """Data type that the file must have, or empty if the asset does not state it. A definition states it for signed
    files, which are read only if their data type is known before."""
    overviews: str = ""
    """Method by which overviews of a categorical band were computed, such as `mode`, by the definition of the
    collection; empty if unknown."""
    classes: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """Tests of the numbers of each class that the cloud mask names, by the definition: pairs of a mask and a value. A
    number that meets one of them, `number & mask == value`, belongs to the class."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The parts of a STAC item that a cube needs."""

    id: str
    datetime: datetime
    """Acquisition, UTC."""
    footprint: BaseGeometry
    """Area of the raster in degrees, in the longitudes of the cube (above 180 across the antimeridian)."""
    solar_hours: int
    """Hours from UTC to local solar time: longitude / 15 of the footprint's centroid, in -180..180 degrees, truncated
    toward zero."""
    acquisition: str
    """Platform, datatake and MGRS tile: equal for all processings of one acquisition; empty if unknown."""
    baseline: tuple[int, ...]
    """Processing baseline, such as (5, 9)."""
    generated: str
    """Time when the product was generated: ISO 8601 in UTC, or empty if unknown."""
    revision: str
    """Hash of all fields of the item that can change a pixel."""
    bands: Mapping[str, BandAsset]
    sensor: str = ""
    """Sensor by the definition of the item, else by its platform, such as `Landsat OLI`; empty if unknown."""
    cloud_cover: float | None = None
    """Cloud cover that the item states, in percent; None if unknown."""
    problem: str = ""
    """Reason why the item cannot be used; such a bad scene has no bands."""
    granule: str = ""
    """Tile, or path and row, such as `MGRS-33TTL`; empty if it is unknown."""
    collection: str = ""
    """Id of the collection in a cube of several; empty in a cube of one, or if the scene is read from a manifest."""
    definition: str = ""
    """Name of the definition that recognized the item; empty if none did, or if the scene is read from a manifest."""
    contradiction: str = ""
    """Encoding that the item states and its definition does not expect; empty if they agree, or as above."""

    @property
    def processing(self) -> tuple[tuple[int, ...], str, str]:
        """Baseline, generation time and id; of two scenes of one acquisition, the newer processing is greater."""
        return self.baseline, self.generated, self.id

    def with_cloud_cover(self) -> Scene:
        """Return the scene with a revision that its cloud cover is part of, for cubes whose pixels depend on it."""
        return replace(self, revision=digest([self.revision, self.cloud_cover]))

    def solar_day(self) -> date:
        """Return the local solar date: UTC plus `solar_hours`.

        `odc.stac` counts hours alike, but of the centre of its output for all items. Here each item has its own. The
        period, area and chunk of a cube therefore do not change the solar day of a scene.
        """
        return (self.datetime + timedelta(hours=self.solar_hours)).date()

    def observation(self) -> tuple[date, str]:
        """Return solar day and sensor: scenes that have both in common are one observation."""
        return self.solar_day(), self.sensor

    def at_longitudes(self, west: float, east: float) -> Scene:
        """Return the scene with its footprint at all multiples of 360 degrees that meet a range of longitudes."""
        footprint = place(self.footprint, west, east)
        return self if footprint is self.footprint else replace(self, footprint=footprint)

    def reach(self) -> BaseGeometry:
        """Return the area whose pixels the scene contributes to: the footprint with its margin, in degrees."""
        reach: BaseGeometry = add_margin(np.array([self.footprint]))[0]
        return reach


def solar_hours(footprint: BaseGeometry) -> int:
    """Return the whole hours by which the solar time of a footprint, in -180..180 degrees, differs from UTC."""
    return int(footprint.centroid.x / 15)


def check_usable(scenes: Iterable[Scene]) -> None:
    """Raise SceneError that names the first bad scene, if there is one."""
    for scene in scenes:
        if scene.problem:
            error = SceneError(scene.problem)
            error.scene = scene.id
            raise error


def add_margin(footprints: NDArray[np.object_]) -> NDArray[np.object_]:
    """Grow footprints by `FOOTPRINT_MARGIN`, round on the ground: by the cosine of their centroid's latitude."""
    latitude = np.abs(shapely.get_y(shapely.centroid(footprints)))
    cosine = np.maximum(LOWEST_COSINE, np.cos(np.radians(latitude)))
    grown = shapely.buffer(_stretched(footprints, cosine), FOOTPRINT_MARGIN, quad_segs=16)
    return _stretched(grown, 1.0 / cosine)


def grow_bounds(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Grow bounds in degrees by the largest margin that any footprint may have."""
    west, south, east, north = bounds
    margin = FOOTPRINT_MARGIN / LOWEST_COSINE
    return west - margin, south - FOOTPRINT_MARGIN, east + margin, north + FOOTPRINT_MARGIN


def _stretched(footprints: NDArray[np.object_], factors: NDArray[np.float64]) -> NDArray[np.object_]:
    """Multiply the longitudes of each footprint by a factor."""
    coordinates, index = shapely.get_coordinates(footprints, return_index=True)
    coordinates[:, 0] *= factors[index]
    stretched: NDArray[np.object_] = shapely.set_coordinates(footprints.copy(), coordinates)
    return stretched
