"""Read bands of scenes into the stack of a window's observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.chunk.read import ChunkReader, ahead, decoded_ahead, result_of
from ardcube.config.encoding import CubeEncoding
from ardcube.errors import SceneError
from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits, packed, unpacked
from ardcube.pixels.nodes import axes_of
from ardcube.pixels.resample import needed_blocks, resample_window
from ardcube.planning.memory import FILES_AHEAD
from ardcube.raster.conversion import conversion_of
from ardcube.raster.decode import Encoding, FetchedBand, SourcePixels
from ardcube.raster.header import Blocks, Header, Level, stated_nodata
from ardcube.raster.levels import category_level, pixel_at, reflectance_levels
from ardcube.raster.open import Raster
from ardcube.runtime.threads import on_a_core


@dataclass(frozen=True, slots=True)
class BandStack:
    """Bands of observations that are read, and the array that they are read into."""

    numbers: NDArray[Any]
    """(band, observation, y, x); 0 where no scene has given a pixel yet."""
    bands: Sequence[str]
    resampling: str
    encoding: CubeEncoding | None = None
    """Encoding of the cube's reflectance; None for categorical bands, which are never converted."""
    source: NDArray[np.uint16] | None = None
    """Position of the scene that gave the first band of each pixel (observation, y, x), zeros at first; None if no
    composite needs it."""

    def missing(self, day: int, pixels: Bits) -> Bits:
        """Return the pixels that have no number yet in one of the bands."""
        return pixels & packed((self.numbers[:, day] == 0).any(axis=0))


@dataclass(frozen=True, slots=True)
class _SceneBands:
    """Bands of one scene that share a grid and an encoding, and are read and resampled together."""

    day: int
    """Position in the stack."""
    scene: Scene
    bands: tuple[int, ...]
    """Positions in the stack."""
    header: Header
    blocks: Blocks
    encoding: Encoding
    wanted: Bits
    """Output pixels to compute."""


def fill(reader: ChunkReader, stack: BandStack, wanted: Mapping[int, tuple[Scene, Bits]]) -> None:
    """Fill wanted pixels that are still 0, from one scene of each day.

    While one scene is resampled, the next scenes are decoded, and the scenes after them fetched.
    """
    resample, width = on_a_core(resample_window), reader.window.shape[1]
    needed = {day: (scene, pixels) for day, (scene, pixels) in wanted.items() if pixels.any()}
    # Bands of reflectance share the level that suits all bands of the cube.
    together = stack.bands if stack.encoding is None else dict.fromkeys((*stack.bands, *reader.bands))
    opened = {day: {band: reader.open(scene, band) for band in together} for day, (scene, _) in needed.items()}
    fetching = (
        fetch
        for day, (scene, pixels) in needed.items()
        for fetch in _fetch(reader, stack, day, scene, pixels, opened[day])
    )
    scenes_ahead = max(1, FILES_AHEAD // len(stack.bands))
    decoding = (_decode(reader, stack, *fetch) for fetch in ahead(fetching, scenes_ahead))
    for read, decoded in decoded_ahead(decoding):
        source, where = result_of(read.scene, decoded), unpacked(read.wanted, width)
        projection = reader.projection(read.header)
        resample(stack.numbers[:, read.day], read.bands, where, projection, source, stack.resampling)
        del source, decoded  # frees the pixels before the next scene is decoded


def _fetch(
    reader: ChunkReader, stack: BandStack, day: int, scene: Scene, wanted: Bits, files: Mapping[str, Future[Raster]]
) -> Iterator[tuple[_SceneBands, list[Future[FetchedBand]]]]:
    """Start to fetch the blocks of a scene under the wanted pixels, grouped by grid and encoding."""
    opened = {band: result_of(scene, file) for band, file in files.items()}
    for headers in reader.placed({band: raster.header for band, raster in opened.items()}):
        for bands, blocks, encoding in _groups(reader, stack, scene, wanted, opened, headers):
            names = [stack.bands[band] for band in bands]
            fetching = [reader.fetch(opened[name], blocks) for name in names]
            yield _SceneBands(day, scene, bands, headers[names[0]], blocks, encoding, wanted), fetching


def _groups(
    reader: ChunkReader,
    stack: BandStack,
    scene: Scene,
    wanted: Bits,
    opened: Mapping[str, Raster],
    headers: Mapping[str, Header],
) -> Iterator[tuple[tuple[int, ...], Blocks, Encoding]]:
    """Yield positions of the bands that are read together, their blocks under the wanted pixels, their encoding."""
    levels = _levels(reader, stack, scene, headers)
    groups: dict[Any, list[int]] = {}
    for position, band in enumerate(stack.bands):
        header, asset = headers[band], scene.bands[band]
        encoding = _encoding(stack, asset, header)
        key = type(opened[band]), axes_of(reader.grid.lattice, header), header.dtype, levels[band], encoding
        groups.setdefault(key, []).append(position)
    for (_, axes, _, level, encoding), members in groups.items():
        blocks = needed_blocks(reader.projected(axes), wanted, level, stack.resampling)
        if blocks is not None:
            yield from ((tuple(members[k : k + LANES]), blocks, encoding) for k in range(0, len(members), LANES))


def _encoding(stack: BandStack, asset: BandAsset, header: Header) -> Encoding:
    """Return how the numbers of a file are read, and converted into those of the cube."""
    shift, conversion = 0.0, None
    if stack.encoding is not None:
        shift, conversion = conversion_of(asset.scale, asset.offset, header.dtype, stack.encoding)
    return Encoding.of(header.nodata, asset.nodata, shift, dtype=header.dtype, conversion=conversion)


def _levels(reader: ChunkReader, stack: BandStack, scene: Scene, headers: Mapping[str, Header]) -> dict[str, Level]:
    """Return the level to read of each band."""
    pixels = [pixel_at(reader.grid.lattice, header) for header in headers.values()]
    if stack.encoding is None:
        levels = [
            category_level(header, pixel, scene.bands[band].overviews)
            for (band, header), pixel in zip(headers.items(), pixels, strict=True)
        ]
    else:
        stated = [stated_nodata(scene.bands[band].nodata, header.dtype) for band, header in headers.items()]
        levels = reflectance_levels(list(headers.values()), stated, pixels)
    return dict(zip(headers, levels, strict=True))


def _decode(
    reader: ChunkReader, stack: BandStack, read: _SceneBands, fetching: list[Future[FetchedBand]]
) -> tuple[_SceneBands, Future[SourcePixels]]:
    """Start to decode fetched blocks."""
    stack_dtype = stack.numbers.dtype
    if np.dtype(read.header.dtype).itemsize > stack_dtype.itemsize:
        error = SceneError(f"{read.scene.id} holds {read.header.dtype}, other scenes of its day {stack_dtype}")
        error.scene = read.scene.id
        raise error
    fetched = reader.fetched(read.scene, fetching)
    fetching.clear()  # a future keeps its result: the compressed blocks
    return read, reader.threads.decode(
        SourcePixels.decode,
        fetched,
        read.blocks,
        read.header.dtype,
        read.encoding,
        find_holes=stack.resampling != "nearest",
    )
