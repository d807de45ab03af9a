"""Evaluate a scene mask on the grid of the classification, and bring the result to the grid of the cube."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.chunk.read import ChunkReader, ahead, decoded_ahead, result_of
from ardcube.pixels.bitmask import Bits
from ardcube.pixels.classification import ClearPixels, clear_pixels, metres_per_pixel, sample, sample_distances
from ardcube.pixels.masks import SceneMaskHook, mask_of, no_data_of
from ardcube.pixels.resample import needed_blocks
from ardcube.planning.memory import FILES_AHEAD
from ardcube.raster.decode import Encoding, FetchedBand, SourcePixels
from ardcube.raster.header import Blocks, Header
from ardcube.raster.levels import category_level, pixel_at
from ardcube.raster.open import Raster
from ardcube.runtime.threads import on_a_core

_ROUNDING = 1e-3
"""Share of a pixel that is added to a reach, because a radius may be a whole number of pixels."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The part of a classification that is read."""

    mask: SceneMaskHook
    scene: Scene
    raster: Raster
    header: Header
    """Of the raster, at the longitudes of the window."""
    blocks: Blocks
    pixel: tuple[float, float]
    """Height and width of a pixel, in metres."""
    nodata: Collection[int]
    """Digital numbers that mean no data."""
    wanted: Bits
    """Pixels of the window within the scene's reach."""
    cloud_metres: int
    """Metres up to which distances to cloud are needed; 0 for none."""


@dataclass(frozen=True, slots=True)
class ScenePixels:
    """Pixels of a window that a classification states."""

    clear: Bits
    masked: Bits | None = None
    """Pixels with data that are not clear; None if nothing needs them."""
    cloud_distance: NDArray[np.uint16] | None = None
    """Whole metres to the nearest pixel of the scene that is not clear (y, x); None if no composite needs it."""

    def __or__(self, other: Self) -> Self:
        """Return the pixels of both, which are places of one raster."""
        masked = None if self.masked is None or other.masked is None else self.masked | other.masked
        distance = self.cloud_distance
        if distance is not None and other.cloud_distance is not None:
            distance = np.minimum(distance, other.cloud_distance)
        return type(self)(self.clear | other.clear, masked, distance)


def evaluate_scenes(
    masks: Sequence[SceneMaskHook],
    reader: ChunkReader,
    scenes: Sequence[Scene],
    *,
    masked: bool = False,
    cloud_metres: int = 0,
) -> dict[str, ScenePixels]:
    """Return the clear pixels of scenes on a window of the cube.

    While one scene is sampled, the next ones are decoded and evaluated, and the scenes after them fetched.

    Parameters
    ----------
    masks : sequence of SceneMaskHook
        Cloud masks, of which each scene has the one whose band it has.
    reader : ChunkReader
        Reads onto the window.
    scenes : sequence of Scene
        Scenes of any days.
    masked : bool
        Whether the pixels that are not clear are returned too.
    cloud_metres : int
        Metres up to which distances to cloud are needed; 0 for none.

    Returns
    -------
    dict of ScenePixels
        By id of the scene. A scene whose file does not touch the window is left out.

    Raises
    ------
    SceneError, TransientError
        If a scene cannot be read.
    """
    here = [(mask_of(masks, scene.bands), scene) for scene in scenes if reader.within_reach(scene).any()]
    opened = [(mask, scene, reader.open(scene, mask.bands[0])) for mask, scene in here]
    reads = (
        read
        for mask, scene, file in opened
        for read in _plan(mask, reader, scene, result_of(scene, file), cloud_metres)
    )
    fetching = ((read, reader.fetch(read.raster, read.blocks)) for read in reads)
    decoding = (
        (read, reader.threads.decode(_evaluate, read, reader.fetched(read.scene, [fetched])))
        for read, fetched in ahead(fetching, FILES_AHEAD)
    )
    to_window, found = on_a_core(_sample), dict[str, ScenePixels]()
    for read, pixels in decoded_ahead(decoding):
        name, sampled = read.scene.id, to_window(reader, read, result_of(read.scene, pixels), masked)
        found[name] = sampled | found[name] if name in found else sampled
    return found


def _plan(mask: SceneMaskHook, reader: ChunkReader, scene: Scene, raster: Raster, cloud_metres: int) -> Iterator[_Read]:
    """Yield the parts of a classification under the window and around it: one, or none if the file does not touch it.

    A raster in degrees may touch it at several multiples of 360 degrees.
    """
    band = mask.bands[0]
    for header in (placed[band] for placed in reader.placed({band: raster.header})):
        level = category_level(header, pixel_at(reader.grid.lattice, header), scene.bands[band].overviews)
        pixel = metres_per_pixel(header.crs, level)
        reach = mask.clean_up.reach + cloud_metres
        around = math.floor(reach / pixel[0] + _ROUNDING), math.floor(reach / pixel[1] + _ROUNDING)
        wanted = reader.within_reach(scene)
        blocks = needed_blocks(reader.projection(header), wanted, level, "nearest", around)
        stated = {number for number in (scene.bands[band].nodata, header.nodata) if number is not None}
        nodata = no_data_of(mask, stated)
        if header.masked and 0 not in nodata:
            from ardcube.raster.gdal import GdalRaster  # it has 18 MB of libraries, and few files need it

            if isinstance(raster, GdalRaster):
                largest = int(np.iinfo(header.dtype).max)  # 0 would be taken for a number of the mask
                raster, nodata = replace(raster, masked_as=largest), nodata | {largest}
        if blocks is not None:
            yield _Read(mask, scene, raster, header, blocks, pixel, nodata, wanted, cloud_metres)


def _evaluate(read: _Read, fetched: Sequence[FetchedBand]) -> ClearPixels:
    """Decode a classification and evaluate the mask on its grid."""
    source = SourcePixels.decode(fetched, read.blocks, read.header.dtype, Encoding(0), find_holes=False)
    tests = read.scene.bands[read.mask.bands[0]].classes
    return clear_pixels(read.mask, source.values[..., 0], read.nodata, read.pixel, tests, read.cloud_metres)


def _sample(reader: ChunkReader, read: _Read, pixels: ClearPixels, masked: bool) -> ScenePixels:
    """Return the pixels of the window whose nearest pixel is clear, and those whose nearest pixel is masked."""
    nearest = reader.projection(read.header).nearest_pixels(read.blocks.level)
    distance = pixels.cloud_distance
    return ScenePixels(
        read.wanted & sample(pixels.clear, pixels.layout, nearest, read.blocks),
        read.wanted & sample(pixels.masked, pixels.layout, nearest, read.blocks) if masked else None,
        None if distance is None else sample_distances(distance, nearest, read.blocks),
    )
