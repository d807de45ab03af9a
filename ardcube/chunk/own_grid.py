"""Evaluate a scene mask on the grid of the classification, and bring the result to the grid of the cube."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.chunk.read import ChunkReader, ahead, result_of
from ardcube.pixels.bitmask import Bits, packed, unpacked
from ardcube.pixels.classification import ClearPixels, clear_pixels, metres_per_pixel
from ardcube.pixels.masks import SceneMaskHook
from ardcube.pixels.resample import needed_blocks, take_nearest
from ardcube.planning.memory import DECODED_AHEAD, FILES_AHEAD
from ardcube.raster.decode import Encoding, FetchedBand, SourcePixels
from ardcube.raster.header import Blocks
from ardcube.raster.levels import category_level, pixel_in_degrees
from ardcube.raster.open import Raster
from ardcube.runtime.threads import on_a_core

_ROUNDING = 1e-3
"""Share of a pixel that is added to a reach, because a radius may be a whole number of pixels."""


@dataclass(frozen=True, slots=True)
class SceneBits:
    """Pixels of a window of the cube within the reach of a scene."""

    clear: Bits
    covered: Bits
    """Pixels that the scene's classification covers."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The part of a classification that is read."""

    scene: Scene
    raster: Raster
    blocks: Blocks
    pixel: tuple[float, float]
    """Height and width of a pixel, in metres."""
    nodata: Collection[int]
    """Digital numbers that mean no data."""
    wanted: Bits
    """Pixels of the window within the scene's reach."""


def evaluate_scenes(mask: SceneMaskHook, reader: ChunkReader, scenes: Sequence[Scene]) -> dict[str, SceneBits]:
    """Return the clear and the covered pixels of scenes on a window of the cube.

    While one scene is sampled, the next ones are decoded and evaluated, and the scenes after them fetched.

    Parameters
    ----------
    mask : SceneMaskHook
        The cloud mask.
    reader : ChunkReader
        Reads onto the window.
    scenes : sequence of Scene
        Scenes of any days.

    Returns
    -------
    dict of SceneBits
        By id of the scene. A scene whose file does not touch the window is left out.

    Raises
    ------
    SceneError, TransientError
        If a scene cannot be read.
    """
    opened = [(scene, reader.open(scene, mask.bands[0])) for scene in scenes if reader.within_reach(scene).any()]
    reads = (_plan(mask, reader, scene, result_of(scene, file)) for scene, file in opened)
    fetching = ((read, reader.fetch(read.raster, read.blocks)) for read in reads if read is not None)
    decoding = (
        (read, reader.threads.decode(_evaluate, mask, read, reader.fetched(read.scene, [fetched])))
        for read, fetched in ahead(fetching, FILES_AHEAD)
    )
    sample = on_a_core(_sample)
    return {
        read.scene.id: sample(reader, read, *result_of(read.scene, pixels))
        for read, pixels in ahead(decoding, DECODED_AHEAD)
    }


def _plan(mask: SceneMaskHook, reader: ChunkReader, scene: Scene, raster: Raster) -> _Read | None:
    """Return the part of a classification under the window and around it, or None if the file does not touch it."""
    header = raster.header
    level = category_level(header, pixel_in_degrees(header, reader.grid.resolution))
    pixel = metres_per_pixel(header.crs, level)
    reach = mask.clean_up.reach
    around = math.floor(reach / pixel[0] + _ROUNDING), math.floor(reach / pixel[1] + _ROUNDING)
    wanted = reader.within_reach(scene)
    blocks = needed_blocks(reader.projection(header.crs), wanted, level, "nearest", around)
    nodata = {0, scene.bands[mask.bands[0]].nodata or 0, header.nodata or 0}
    return None if blocks is None else _Read(scene, raster, blocks, pixel, nodata, wanted)


def _evaluate(mask: SceneMaskHook, read: _Read, fetched: Sequence[FetchedBand]) -> tuple[SourcePixels, ClearPixels]:
    """Decode a classification and evaluate the mask on its grid."""
    source = SourcePixels.decode(fetched, read.blocks, read.raster.header.dtype, Encoding(0), find_holes=False)
    return source, clear_pixels(mask, source.values[..., 0], read.nodata, read.pixel)


def _sample(reader: ChunkReader, read: _Read, source: SourcePixels, pixels: ClearPixels) -> SceneBits:
    """Return the pixels of the window whose nearest pixel is clear, and those whose nearest pixel is covered."""
    wanted = unpacked(read.wanted, reader.window.shape[1])
    nearest = reader.projection(read.raster.header.crs).nearest_pixels(read.blocks.level)

    def sampled(mask: NDArray[np.bool_]) -> Bits:
        out = np.zeros((1, *reader.window.shape), np.uint8)
        take_nearest(out, [0], wanted, nearest, replace(source, values=mask.view(np.uint8)[..., None]))
        return packed(out[0].view(bool))

    return SceneBits(sampled(pixels.clear), sampled(pixels.covered))
