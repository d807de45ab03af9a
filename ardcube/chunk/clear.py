"""Find the clear pixels of each scene, before any reflectance is read.

A scene mask evaluates the classification of each scene, on the grid of the classification. A day mask evaluates the
fused bands of solar days, on the pixels of the cube.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from operator import or_
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.fuse import SceneArea, fuse_categories, scene_areas
from ardcube.chunk.own_grid import ScenePixels, evaluate_scenes
from ardcube.chunk.read import ChunkReader
from ardcube.chunk.solar_days import SolarDay, dates_of
from ardcube.errors import PermanentError
from ardcube.pixels.bitmask import Bits, packed
from ardcube.pixels.masks import CloudMaskHook, DayMaskHook, scene_masks
from ardcube.pixels.observations import Observations
from ardcube.planning.memory import DAYS_AT_ONCE


@dataclass(frozen=True, slots=True)
class Observation:
    """The clear pixels of one solar day and sensor in a window."""

    date: date
    sensor: str
    """Name of the sensor; empty if unknown."""
    areas: tuple[SceneArea, ...]
    """Scenes that have a clear pixel, in order. The first clear and valid pixel counts."""
    masked: Bits | None = None
    """Pixels where a scene has data and is not clear; None if there are none, or if nothing needs them."""

    @classmethod
    def of(cls, day: SolarDay, areas: Iterable[SceneArea], masked: Iterable[Bits] = ()) -> Self:
        """Return the observation of a day, without the areas that have no pixel."""
        clear = tuple(area for area in areas if area.pixels.any())
        of_scenes = list(masked)
        return cls(day.date, day.sensor, clear, reduce(or_, of_scenes) if of_scenes else None)

    def within(self, pixels: Bits) -> Self:
        """Return the part in some pixels of the window."""
        areas = (area.within(pixels) for area in self.areas)
        return replace(self, areas=tuple(area for area in areas if area.pixels.any()))

    def rows(self, rows: slice) -> Self:
        """Return the part in some rows of the window."""
        return replace(self, areas=tuple(area.rows(rows) for area in self.areas))


def clear_observations(
    mask: CloudMaskHook,
    reader: ChunkReader,
    days: Sequence[SolarDay],
    inside: NDArray[np.bool_] | None = None,
    *,
    masked: bool = False,
    cloud_metres: int = 0,
) -> list[Observation]:
    """Return the observations with a clear pixel in the window of a reader; with `masked`, also those without one.

    Parameters
    ----------
    mask : CloudMaskHook
        A scene mask or a day mask.
    reader : ChunkReader
        Reads onto the window.
    days : sequence of SolarDay
        Days with a scene in the window or the mask's halo.
    inside : bool (y, x), optional
        Pixels of the window that are not clipped. No others are clear.
    masked : bool
        Whether the observations state the pixels that have data and are not clear.
    cloud_metres : int
        Metres up to which distances to cloud are needed; 0 for none. Day masks have none.

    Raises
    ------
    PermanentError
        If the mask returns an array of another shape or data type.
    SceneError, TransientError
        If a scene cannot be read.
    """
    if masks := scene_masks(mask):
        evaluated = evaluate_scenes(
            masks, reader, [scene for day in days for scene in day.scenes], masked=masked, cloud_metres=cloud_metres
        )
        found = _by_scene(evaluated, reader, days)
    else:
        assert isinstance(mask, DayMaskHook)
        found = _by_day(mask, reader, days, masked)
    if inside is not None:
        bits = packed(inside)
        found = (one.within(bits) for one in found)
    return [one for one in found if one.areas or one.masked is not None]


def _by_scene(found: Mapping[str, ScenePixels], reader: ChunkReader, days: Sequence[SolarDay]) -> Iterator[Observation]:
    """Yield the observations of days whose scenes are evaluated each by itself."""
    clear = {name: pixels.clear for name, pixels in found.items()}
    for day in days:
        own = (found[scene.id].masked for scene in day.scenes if scene.id in found)
        areas = (
            replace(area, cloud_distance=found[area.scene.id].cloud_distance)
            for area in scene_areas(reader, day, clear)
        )
        yield Observation.of(day, areas, (bits for bits in own if bits is not None))


def _by_day(mask: DayMaskHook, reader: ChunkReader, days: Sequence[SolarDay], masked: bool) -> Iterator[Observation]:
    """Yield the observations of days that are evaluated whole: pixels of each scene within its reach."""
    around = reader.grow(mask.halo)
    at_once = DAYS_AT_ONCE if getattr(mask, "independent_days", False) else max(1, len(days))
    for first in range(0, len(days), at_once):
        group = days[first : first + at_once]
        bands = {band: fuse_categories(around, group, band) for band in mask.bands}
        for number, (day, clear) in enumerate(zip(group, _apply(mask, around, group, bands), strict=True)):
            bits = packed(clear)
            areas = scene_areas(reader, day, {scene.id: reader.within_reach(scene) & bits for scene in day.scenes})
            inside = _without_halo(mask, reader.window.shape)
            data = (packed((band[number][inside] != 0) & ~clear) for band in bands.values() if masked)
            yield Observation.of(day, areas, data)
    reader.bytes_read += around.bytes_read


def _apply(
    mask: DayMaskHook, reader: ChunkReader, days: Sequence[SolarDay], bands: Mapping[str, NDArray[Any]]
) -> NDArray[np.bool_]:
    """Call a day mask, check its result, and cut off the halo: bool (day, y, x)."""
    grid, window = reader.grid, reader.window
    observations = Observations(
        bands,
        dates_of(days),
        grid.y(np.arange(window.y0, window.y1)),
        grid.x(np.arange(window.x0, window.x1)),
    )
    height, width = window.shape
    clear: NDArray[np.bool_] = np.asarray(mask.clear(observations))
    if clear.shape != (len(days), height, width) or clear.dtype != bool:
        raise PermanentError(
            f"cloud mask {mask.name} returned {clear.dtype} {clear.shape}; it must be bool {(len(days), height, width)}"
        )
    return clear[:, mask.halo : height - mask.halo, mask.halo : width - mask.halo]


def _without_halo(mask: DayMaskHook, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of a window (height, width) in arrays with the halo of a mask."""
    height, width = shape
    return slice(mask.halo, mask.halo + height), slice(mask.halo, mask.halo + width)
