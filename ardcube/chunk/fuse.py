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
from ardcube.config.encoding import CubeEncoding
from ardcube.pixels.bitmask import Bits, packed, unpacked


@dataclass(frozen=True, slots=True)
class SceneArea:
    """A scene, and the pixels of a window that it may give."""

    scene: Scene
    pixels: Bits
    newer: tuple[SceneArea, ...] = ()
    """Newer processings of the scene's acquisition, and the pixels that the scene gives only if these are not valid."""

    def rows(self, rows: slice) -> SceneArea:
        """Return the part in some rows of the window."""
        return SceneArea(self.scene, self.pixels[rows], tuple(area.rows(rows) for area in self.newer))

    def within(self, pixels: Bits) -> SceneArea:
        """Return the part in some pixels of the window."""
        return SceneArea(self.scene, self.pixels & pixels, tuple(area.within(pixels) for area in self.newer))


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
    _fuse(reader, BandStack(stack, (band,), "nearest"), areas)
    classes: NDArray[Any] = stack[0]
    return classes


def fuse_reflectance(
    reader: ChunkReader,
    observations: Sequence[Sequence[SceneArea]],
    bands: Sequence[str],
    resampling: str,
    encoding: CubeEncoding,
    stack: NDArray[np.uint16],
) -> None:
    """Fill a stack with digital numbers of reflectance bands: per pixel and band, those of the first valid scene.

    Parameters
    ----------
    reader : ChunkReader
        Of the window.
    observations : sequence of sequence of SceneArea
        Scenes of each observation, in order, and the pixels to read of each.
    bands : sequence of str
        Names as in the scenes. Bands of one grid are resampled together.
    resampling : str
        `nearest`, `bilinear` or `cubic`.
    encoding : CubeEncoding
        Encoding of the cube's reflectance. Digital numbers of scenes with another one are converted.
    stack : uint16 (band, observation, y, x)
        Zeros; filled in place.
    """
    _fuse(reader, BandStack(stack, bands, resampling, encoding), observations)


def _fuse(reader: ChunkReader, stack: BandStack, observations: Sequence[Sequence[SceneArea]]) -> None:
    """Read the first scene of each observation, then from the next scenes only the pixels that are still missing."""
    for order in range(max(map(len, observations), default=0)):
        areas = {day: scenes[order] for day, scenes in enumerate(observations) if order < len(scenes)}
        hidden = _fill_newer(reader, stack, areas)
        fill(reader, stack, {
            day: (area.scene, stack.missing(day, area.pixels) if order or area.newer else area.pixels)
            for day, area in areas.items()
        })  # fmt: skip
        for day, pixels in hidden.items():
            stack.numbers[:, day][unpacked(pixels, reader.window.shape[1])] = 0


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
