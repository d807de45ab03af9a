"""From scenes to observations: each solar day of a chunk on the cube's grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

import numpy as np
import shapely
from numpy.typing import NDArray

from ardcube.errors import SceneError
from ardcube.grid import Grid, Window
from ardcube.reader import read_header, read_window
from ardcube.resample import Projection, needed_window, project, resample_into
from ardcube.scenes import SCALE, BandAsset, Scene

Values = NDArray[np.uint16] | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SolarDay:
    """Scenes that are fused to one observation."""

    date: date
    scenes: tuple[Scene, ...]
    """In order of time, then id: the first valid pixel wins."""


def solar_days(scenes: Iterable[Scene]) -> list[SolarDay]:
    """Group scenes by their local solar day, as `odc.stac` does with ``groupby="solar_day"``."""
    ordered = sorted(scenes, key=lambda scene: (scene.solar_day(), scene.datetime, scene.id))
    return [SolarDay(day, tuple(group)) for day, group in groupby(ordered, key=Scene.solar_day)]


@dataclass(slots=True)
class ChunkReader:
    """Reads bands of scenes onto one window of the grid; projections and footprints are worked out once."""

    grid: Grid
    window: Window
    bytes_read: int = 0
    """Decoded bytes read so far."""
    _projections: dict[str, Projection] = field(default_factory=dict)
    _footprints: dict[str, NDArray[np.bool_] | None] = field(default_factory=dict)

    def crop(self, margin: int) -> ChunkReader:
        """The reader of the window that lies `margin` pixels inside; shares what was worked out."""
        if margin == 0:
            return self
        core = slice(margin, -margin)
        return ChunkReader(
            self.grid,
            self.window.grow(-margin),
            self.bytes_read,
            {crs: projection.crop(margin) for crs, projection in self._projections.items()},
            {key: None if mask is None else mask[core, core] for key, mask in self._footprints.items()},
        )

    def categories(self, days: Sequence[SolarDay], band: str) -> Values:
        """Raw digital numbers of a categorical band, nearest pixel: uint8 or uint16 (day, y, x), 0 is none."""
        headers = {read_header(scene.bands[band].href, scene.revision).dtype for day in days for scene in day.scenes}
        dtype = np.uint8 if headers <= {"uint8"} else np.uint16
        stack = np.zeros((len(days), *self.window.shape), dtype)
        for observation, day in zip(stack, days, strict=True):
            for scene in day.scenes:
                self._add(observation, scene, band, "nearest", None, 0)
        return stack

    def reflectance(
        self,
        days: Sequence[SolarDay],
        band: str,
        clear: NDArray[np.bool_],
        resampling: str,
        offset: float,
    ) -> NDArray[np.uint16]:
        """Digital numbers of a reflectance band where it is clear: uint16 (day, y, x), 0 elsewhere.

        Parameters
        ----------
        days : sequence of SolarDay
            Observations.
        band : str
            As in the scenes.
        clear : bool (day, y, x)
            Pixels to read.
        resampling : str
            `nearest`, `bilinear` or `cubic`.
        offset : float
            Offset of the cube's reflectance; scenes with another one are shifted.
        """
        stack = np.zeros((len(days), *self.window.shape), np.uint16)
        for observation, wanted, day in zip(stack, clear, days, strict=True):
            for scene in day.scenes:
                shift = round((scene.bands[band].offset - offset) / SCALE)
                self._add(observation, scene, band, resampling, wanted, shift)
        return stack

    def _add(
        self,
        observation: Values,
        scene: Scene,
        band: str,
        resampling: str,
        wanted: NDArray[np.bool_] | None,
        shift: int,
    ) -> None:
        """Fill what is still 0 in an observation from one scene."""
        open_pixels = observation == 0
        if wanted is not None:
            open_pixels &= wanted
        footprint = self._footprint(scene)
        if footprint is not None:
            open_pixels &= footprint
        if not open_pixels.any():
            return
        asset: BandAsset = scene.bands[band]
        header = read_header(asset.href, scene.revision)
        level = header.level_for(self.grid.resolution)
        projection = self._projection(header.crs)
        needed = needed_window(projection, open_pixels, level.transform, (level.height, level.width), resampling)
        if needed is None:
            return
        source = read_window(asset.href, level, needed)
        self.bytes_read += source.values.nbytes
        if source.values.dtype.itemsize > observation.dtype.itemsize:
            raise SceneError(f"{asset.href} holds {source.values.dtype}, other scenes {observation.dtype}")
        resample_into(
            observation,
            open_pixels,
            projection,
            source,
            level.transform,
            resampling=resampling,
            nodata=asset.nodata or header.nodata,
            shift=shift,
        )

    def _projection(self, crs: str) -> Projection:
        if crs not in self._projections:
            self._projections[crs] = project(self.grid, self.window, crs)
        return self._projections[crs]

    def _footprint(self, scene: Scene) -> NDArray[np.bool_] | None:
        """Pixels within the scene's grown footprint, bool (y, x); None where all are."""
        if scene.id not in self._footprints:
            reach = scene.reach()
            mask = None
            if not reach.covers(self.grid.window_box(self.window)):
                lon = self.grid.longitude(np.arange(self.window.x0, self.window.x1))
                lat = self.grid.latitude(np.arange(self.window.y0, self.window.y1))
                mask = _contains(reach, lon, lat)
            self._footprints[scene.id] = mask
        return self._footprints[scene.id]


def _contains(
    reach: shapely.geometry.base.BaseGeometry, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Pixel centres within a polygon, bool (y, x), asked for only inside its bounds."""
    west, south, east, north = reach.bounds
    cols = np.flatnonzero((lon >= west) & (lon <= east))
    rows = np.flatnonzero((lat >= south) & (lat <= north))
    mask = np.zeros((len(lat), len(lon)), bool)
    if len(rows) and len(cols):
        part = np.ix_(rows, cols)
        shapely.prepare(reach)
        mask[part] = shapely.contains_xy(reach, *np.meshgrid(lon[cols], lat[rows]))
    return mask


def days_to_numpy(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Dates as datetime64[ns] (day,), as xarray wants them."""
    return np.array([day.date for day in days], "datetime64[ns]")
