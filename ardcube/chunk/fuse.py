"""Fuse the scenes of each observation: per pixel and band, the first scene that is valid there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.chunk.fill import BandStack, fill
from ardcube.chunk.read import ChunkReader, result_of
from ardcube.chunk.solar_days import SolarDay
from ardcube.pixels.bitmask import Bits, packed, unpacked


@dataclass(frozen=True, slots=True)
class SceneArea:
    """A scene, and the pixels of a window that it may give."""

    scene: Scene
    pixels: Bits
    newer: tuple[SceneArea, ...] = ()
    """Newer processings of the scene's acquisition, and the pixels that the scene gives only if these are not valid."""
    cloud_distance: NDArray[np.uint16] | None = None
    """Whole metres to the nearest pixel of the scene that is not clear (y, x); None if no composite needs it."""

    def rows(self, rows: slice) -> SceneArea:
        """Return the part in some rows of the window."""
        distance = None if self.cloud_distance is None else self.cloud_distance[rows]
        newer = tuple(area.rows(rows) for area in self.newer)
        return replace(self, pixels=self.pixels[rows], newer=newer, cloud_distance=distance)

    def within(self, pixels: Bits) -> SceneArea:
        """Return the part in some pixels of the window."""
        return replace(self, pixels=self.pixels & pixels, newer=tuple(area.within(pixels) for area in self.newer))


def scene_areas(reader: ChunkReader, day: SolarDay, pixels: Mapping[str, Bits]) -> list[SceneArea]:
    """Return the areas of the scenes of a day.

    Parameters
    ----------
    reader : ChunkReader
        Of the window.
    day : SolarDay
        The day.
    pixels : mapping
        Pixels that each scene may give, by id. A scene that may give none can be left out.
    """
    areas: dict[str, SceneArea] = {}
    for scene in day.scenes:
        if scene.id not in pixels:
            continue
        newer = []
        for other in day.newer(scene):
            undecided = pixels[scene.id] & reader.within_reach(other)
            if other.id in areas:  # it comes first, and gives all its pixels that are valid
                undecided &= ~pixels[other.id]
            if undecided.any():
                newer.append(SceneArea(other, undecided))
        areas[scene.id] = SceneArea(scene, pixels[scene.id], tuple(newer))
    return list(areas.values())


def fuse_categories(reader: ChunkReader, days: Sequence[SolarDay], band: str) -> NDArray[Any]:
    """Return digital numbers of a categorical band, nearest pixel, of the first scene that has one.

    Returns
    -------
    uint8 or uint16 (day, y, x)
        0 is no data.
    """
    opened = [(scene, reader.open(scene, band)) for day in days for scene in day.scenes]
    dtypes = {result_of(scene, file).header.dtype for scene, file in opened}
    shape = (1, len(days), *reader.window.shape)
    stack = np.zeros(shape, np.uint8 if dtypes <= {"uint8"} else np.uint16)
    reaches = ({scene.id: reader.within_reach(scene) for scene in day.scenes} for day in days)
    areas = [scene_areas(reader, day, reach) for day, reach in zip(days, reaches, strict=True)]
    fuse(reader, areas, BandStack(stack, (band,), "nearest"))
    classes: NDArray[Any] = stack[0]
    return classes


def fuse(reader: ChunkReader, observations: Sequence[Sequence[SceneArea]], stack: BandStack) -> None:
    """Fill a stack with digital numbers: per pixel and band, those of the first valid scene.

    Parameters
    ----------
    reader : ChunkReader
        Of the window.
    observations : sequence of sequence of SceneArea
        Scenes of each observation, in order, and the pixels to read of each.
    stack : BandStack
        Filled in place: the first scene of each observation, then from the next scenes only the pixels that are still
        missing. Bands of one grid are resampled together.
    """
    for order in range(max(map(len, observations), default=0)):
        areas = {day: scenes[order] for day, scenes in enumerate(observations) if order < len(scenes)}
        lacking = {} if stack.source is None or not order else {day: stack.numbers[0, day] == 0 for day in areas}
        hidden = _fill_newer(reader, stack, areas)
        fill(reader, stack, {
            day: (area.scene, stack.missing(day, area.pixels) if order or area.newer else area.pixels)
            for day, area in areas.items()
        })  # fmt: skip
        for day, pixels in hidden.items():
            stack.numbers[:, day][unpacked(pixels, reader.window.shape[1])] = 0
        if stack.source is not None:
            for day, empty in lacking.items():
                stack.source[day][empty & (stack.numbers[0, day] != 0)] = order


def _fill_newer(reader: ChunkReader, stack: BandStack, areas: Mapping[int, SceneArea]) -> dict[int, Bits]:
    """Fill the valid pixels of newer processings, so that the scenes of `areas` do not fill them.

    Returns
    -------
    dict of Bits
        The filled pixels (band, y, x / 8) by day. They are not clear, and must become 0 again.
    """
    days = [day for day, area in areas.items() if area.newer]
    empty = {day: packed(stack.numbers[:, day] == 0) for day in days}
    nearest = replace(stack, resampling="nearest")  # because the nearest source pixel decides on validity
    for order in range(max((len(areas[day].newer) for day in days), default=0)):
        newer = {day: areas[day].newer[order] for day in days if order < len(areas[day].newer)}
        fill(reader, nearest, {day: (area.scene, stack.missing(day, area.pixels)) for day, area in newer.items()})
    return {day: empty[day] & packed(stack.numbers[:, day] != 0) for day in days}
