"""Measure the floor: the cost of each step of a chunk alone, on one core.

libdeflate decodes only the blocks that the kernel of a clear pixel touches. Projection, resampling, mask and median are
the kernels of ardcube, called with prepared arrays. The difference between the cost of a chunk and this sum is
requests, headers, copies, locks and bookkeeping.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

import deflate
import numpy as np
import rasterio
import zarr
from numpy.typing import NDArray
from rasterio.transform import Affine

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.bitmask import packed, unpacked
from ardcube.pixels.classification import clear_pixels, sample
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.pixels.median import median_of_valid
from ardcube.pixels.nodes import NODE_STEP, SourceAxes
from ardcube.pixels.projection import Projection, project
from ardcube.pixels.resample import needed_blocks, resample_window
from ardcube.raster.decode import DecodedBlock, Encoding, SourcePixels
from ardcube.raster.header import Blocks, Level
from ardcube.store.schema import compressor
from benchmarks.archive import BANDS, RESOLUTION, Archive, Scene, scenes

_REFLECTANCE = ("red", "green", "blue", "nir")
_CLASS_METRES = 20.0
"""Side of a pixel of the scene classification, in metres."""


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU seconds of the steps, and the bytes that they process."""

    cpu_seconds: dict[str, float]
    blocks: int
    compressed_mb: float
    decoded_mb: float


@dataclass(slots=True)
class _Tally:
    seconds: dict[str, float] = field(default_factory=dict)
    blocks: int = 0
    compressed: int = 0
    decoded: int = 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start


@dataclass(frozen=True, slots=True)
class _Work:
    """The input of all steps: archive, days, and the projections of the pixels."""

    archive: Archive
    days: Sequence[Sequence[Scene]]
    at: Mapping[int, Projection]
    """EPSG code -> projection of the chunk."""
    tally: _Tally


def floor(archive: Archive, tiny: Archive) -> Floor:
    """Measure every step for the first chunk of an archive with the SCL mask.

    The chunk of `tiny` is built first, to load the kernels.
    """
    tally = _Tally()
    for one in (tiny, archive):
        tally = _Tally()
        _chunk(one, tally)
    seconds = {step: round(value, 3) for step, value in tally.seconds.items()}
    return Floor(seconds, tally.blocks, tally.compressed / 1e6, tally.decoded / 1e6)


def _chunk(archive: Archive, tally: _Tally) -> None:
    layout = archive.layout
    grid = Grid.from_bounds(layout.bbox, RESOLUTION)
    window = Window(0, layout.chunk, 0, layout.chunk)
    with tally.step("project"):
        at = {
            one.epsg: project(grid.lattice, grid.to_global(window), SourceAxes(f"EPSG:{one.epsg}", NODE_STEP))
            for one in layout.granules
        }
    days = [list(group) for _, group in groupby(scenes(layout), key=lambda scene: scene.day)]
    work = _Work(archive, days, at, tally)
    stack = _stack(work, [[_clear(work, scene) for scene in taken] for taken in days])
    values = np.empty((*window.shape, len(_REFLECTANCE)), np.uint16)
    bands = [np.ascontiguousarray(stack[:, band]) for band in range(len(_REFLECTANCE))]
    with tally.step("median"):
        for position, band in enumerate(bands):
            median_of_valid(band, values[..., position])
    _write(values, (stack != 0).any(axis=1).sum(axis=0, dtype=np.uint16), tally)


def _clear(work: _Work, scene: Scene) -> NDArray[np.bool_]:
    """Return the clear pixels of a scene, bool (y, x)."""
    mask, at = SCLCloudMaskHook(), work.at[scene.granule.epsg]
    everywhere, reach = np.ones(at.window.shape, bool), int(mask.clean_up.reach / _CLASS_METRES)
    with work.tally.step("blocks"):
        level = _level(work.archive, scene)
        blocks = needed_blocks(at, packed(everywhere), level, "nearest", (reach, reach))
    if blocks is None:
        return ~everywhere
    fetched = _DecodedBand([*_decode(work.archive, scene, "scl", blocks, work.tally)])
    with work.tally.step("interleave"):
        source = SourcePixels.decode([fetched], blocks, "uint8", Encoding(0), find_holes=False)
    with work.tally.step("mask"):
        found = clear_pixels(mask, source.values[..., 0], {0}, (_CLASS_METRES, _CLASS_METRES))
        clear = sample(found.clear, found.layout, at.nearest_pixels(level), blocks)
    return unpacked(clear, at.window.shape[1])


def _stack(work: _Work, clear: Sequence[Sequence[NDArray[np.bool_]]]) -> NDArray[np.uint16]:
    """Return the digital numbers of the clear pixels of each scene of each day, uint16 (day, band, y, x)."""
    stack = np.zeros((len(work.days), len(_REFLECTANCE), *clear[0][0].shape), np.uint16)
    for observation, of_day, taken in zip(stack, clear, work.days, strict=True):
        for scene, wanted in zip(taken, of_day, strict=True):
            at = work.at[scene.granule.epsg]
            _add(work, observation, scene, at, wanted & (observation[0] == 0))
    return stack


def _add(work: _Work, out: NDArray[np.uint16], scene: Scene, at: Projection, wanted: NDArray[np.bool_]) -> None:
    """Fill the wanted pixels of `out` (band, y, x) from one scene."""
    if not wanted.any():
        return
    with work.tally.step("blocks"):
        level = _level(work.archive, scene)
        blocks = needed_blocks(at, packed(wanted), level, "bilinear")
    if blocks is None:
        return
    fetched = [_DecodedBand([*_decode(work.archive, scene, band, blocks, work.tally)]) for band in _REFLECTANCE]
    with work.tally.step("interleave"):
        source = SourcePixels.decode(fetched, blocks, "uint16", Encoding(0))
    with work.tally.step("resample"):
        resample_window(out, range(len(out)), wanted, at, source, "bilinear")


def _write(values: NDArray[np.uint16], count: NDArray[np.uint16], tally: _Tally) -> None:
    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w")
        arrays = [
            group.create_array(
                name, shape=data.shape, chunks=data.shape, dtype=data.dtype, compressors=compressor(),
                config={"write_empty_chunks": True},
            )
            for name, data in (("values", values), ("count", count))
        ]  # fmt: skip
        with tally.step("write"):
            for array, data in zip(arrays, (values, count), strict=True):
                array[:] = data


@dataclass(frozen=True, slots=True)
class _DecodedBand:
    """A fetched band that is already decoded."""

    blocks: Sequence[DecodedBlock]
    size: int = 0

    def decode(self) -> Iterator[DecodedBlock]:
        """Yield the blocks."""
        yield from self.blocks


def _level(archive: Archive, scene: Scene) -> Level:
    """Return the 20 m level, which the pixel contract selects here."""
    size, side = scene.granule.size // 2, archive.layout.block
    with rasterio.open(archive.folder / scene.id / f"{BANDS['scl']}.tif") as source:
        transform = source.transform @ Affine.scale(source.width / size, source.height / size)
    return Level(0, size, size, transform, (side, side))


def _decode(archive: Archive, scene: Scene, band: str, blocks: Blocks, tally: _Tally) -> Iterator[DecodedBlock]:
    """Decode the needed blocks of a band; reading is not part of the measured time."""
    path, side = archive.folder / scene.id / f"{BANDS[band]}.tif", archive.layout.block
    with rasterio.open(path) as source, path.open("rb") as file:
        dtype, overview = np.dtype(source.dtypes[0]), None if band == "scl" else 0
        for row, col in blocks.indices:
            offset, size = (
                source.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1, ovr=overview)
                for what in ("OFFSET", "SIZE")
            )
            if offset is None or size is None:  # absent: no data
                yield DecodedBlock(row * side, col * side, np.zeros((side, side), dtype), predicted=dtype == np.uint16)
                continue
            file.seek(int(offset))
            packed = file.read(int(size))
            with tally.step("inflate"):
                content = deflate.zlib_decompress(packed, side * side * dtype.itemsize)
            tally.blocks += 1
            tally.compressed += len(packed)
            tally.decoded += len(content)
            values = np.frombuffer(content, dtype).reshape(side, side)
            yield DecodedBlock(row * side, col * side, values, predicted=dtype == np.uint16)
