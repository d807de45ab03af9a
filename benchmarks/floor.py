"""The floor: what each step of a chunk costs alone, on one core, with its input at hand and nothing else going on.

Only the blocks are decoded that a clear pixel's kernel touches, from memory, by libdeflate; projecting, resampling,
mask and median are the program's own kernels, each called with arrays that are ready. What a chunk costs beyond the sum
is requests, headers, copies, locks and bookkeeping.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import deflate
import numba
import numpy as np
import rasterio
import xarray as xr
import zarr
from numpy.typing import NDArray
from rasterio.transform import Affine
from zarr.codecs import BloscCodec, BloscShuffle

from ardcube.composite import median_of_valid
from ardcube.grid import Grid, Window
from ardcube.kernels import fill
from ardcube.resample import Projection, project
from benchmarks.archive import BANDS, RESOLUTION, Archive, Scene, scenes
from hooks.cloud_masks import SCLCloudMaskHook

_REFLECTANCE = ("red", "green", "blue", "nir")
jit = numba.njit(cache=True, nogil=True)


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU seconds of the steps, and the bytes behind them."""

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
    """What all steps share: the archive, its days, and where pixels lie in each CRS."""

    archive: Archive
    days: Sequence[Sequence[Scene]]
    halo: Mapping[int, Projection]
    """By EPSG code, of the chunk and its halo."""
    core: Mapping[int, Projection]
    """Of the chunk alone."""
    tally: _Tally


def floor(archive: Archive, tiny: Archive) -> Floor:
    """Measure every step for an archive's first chunk with the SCL mask; `tiny` is for warming up."""
    tally = _Tally()
    for one in (tiny, archive):
        tally = _Tally()
        _chunk(one, tally)
    seconds = {step: round(value, 3) for step, value in tally.seconds.items()}
    return Floor(seconds, tally.blocks, tally.compressed / 1e6, tally.decoded / 1e6)


def _chunk(archive: Archive, tally: _Tally) -> None:
    layout, hook = archive.layout, SCLCloudMaskHook()
    grid = Grid.from_bounds(layout.bbox, RESOLUTION)
    window = Window(0, layout.chunk, 0, layout.chunk)
    with tally.step("project"):
        halo, core = (
            {one.epsg: project(grid, part, f"EPSG:{one.epsg}") for one in layout.granules}
            for part in (window.grow(hook.halo), window)
        )
    days = [list(group) for _, group in groupby(scenes(layout), key=lambda scene: scene.day)]
    work = _Work(archive, days, halo, core, tally)
    classes = xr.Dataset({"scl": (("time", "y", "x"), _classes(work))})
    with tally.step("mask"):
        clear = hook.clear(classes)
    stack = _stack(work, clear[:, hook.halo : -hook.halo, hook.halo : -hook.halo])
    values = np.empty((*window.shape, len(_REFLECTANCE)), np.uint16)
    bands = [np.ascontiguousarray(stack[:, band]) for band in range(len(_REFLECTANCE))]
    with tally.step("median"):
        for position, band in enumerate(bands):
            values[..., position] = median_of_valid(band)
    _write(values, (stack != 0).any(axis=1).sum(axis=0, dtype=np.uint16), tally)


def _classes(work: _Work) -> NDArray[np.uint8]:
    """Scene classification of each day, uint8 (day, y, x)."""
    shape = next(iter(work.halo.values())).x.shape
    classes = np.zeros((len(work.days), 1, *shape), np.uint8)
    for observation, taken in zip(classes, work.days, strict=True):
        for scene in taken:
            _add(work, observation, scene, ("scl",), work.halo[scene.granule.epsg], observation[0] == 0)
    return classes[:, 0]


def _stack(work: _Work, clear: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Digital numbers of each day where it is clear, uint16 (day, band, y, x)."""
    stack = np.zeros((len(work.days), len(_REFLECTANCE), *clear.shape[1:]), np.uint16)
    for observation, wanted, taken in zip(stack, clear, work.days, strict=True):
        for scene in taken:
            at = work.core[scene.granule.epsg]
            _add(work, observation, scene, _REFLECTANCE, at, wanted & (observation[0] == 0))
    return stack


def _add(
    work: _Work, out: NDArray[Any], scene: Scene, bands: Sequence[str], at: Projection, wanted: NDArray[np.bool_]
) -> None:
    """Fill the wanted pixels of `out` (band, y, x) from one scene."""
    if not wanted.any():
        return
    level = _read(work.archive, scene, bands, at, wanted, work.tally)
    transform, kernel = level.transform, int(out.dtype == np.uint16)
    with work.tally.step("warp"):
        fill(
            out, np.arange(len(out)), wanted, at.x, at.y, at.step_x, at.step_y, level.pixels, 0, 0,
            transform.c, transform.a, transform.f, transform.e, kernel, 0, 0,
        )  # fmt: skip


def _write(values: NDArray[np.uint16], count: NDArray[np.uint16], tally: _Tally) -> None:
    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w")
        codec = BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.shuffle)
        arrays = [
            group.create_array(name, shape=data.shape, chunks=data.shape, dtype=data.dtype, compressors=codec)
            for name, data in (("values", values), ("count", count))
        ]
        with tally.step("write"):
            for array, data in zip(arrays, (values, count), strict=True):
                array[:] = data


@dataclass(frozen=True, slots=True)
class _Level:
    """One level of some bands of a scene: what was needed of it, 0 elsewhere."""

    pixels: NDArray[Any]
    """(row, column, band)"""
    transform: Affine


def _read(
    archive: Archive, scene: Scene, bands: Sequence[str], at: Projection, wanted: NDArray[np.bool_], tally: _Tally
) -> _Level:
    """Decode the blocks that the wanted pixels touch."""
    found = None
    for index, band in enumerate(bands):
        path = archive.folder / scene.id / f"{BANDS[band]}.tif"
        with rasterio.open(path) as source:
            # At 20 m the overview by the contract's rule, at any latitude of the archive.
            overview = None if band == "scl" else 0
            shape = (scene.granule.size // 2,) * 2
            transform = source.transform @ Affine.scale(source.width / shape[1], source.height / shape[0])
            side, dtype = archive.layout.block, np.dtype(source.dtypes[0])
            if found is None:
                found = _Level(np.zeros((*shape, len(bands)), dtype), transform)
                touched = _touched(at, wanted, transform, shape, side)
            for row, col in touched:
                entry = [
                    source.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1, ovr=overview)
                    for what in ("OFFSET", "SIZE")
                ]
                if None in entry:
                    continue  # absent: no data
                offset, size = (int(value) for value in entry)
                with path.open("rb") as file:
                    file.seek(offset)
                    packed = file.read(size)
                with tally.step("decode"):
                    content = deflate.zlib_decompress(packed, side * side * dtype.itemsize)
                    block = np.frombuffer(content, dtype).reshape(side, side)
                    if dtype == np.uint16:
                        _add_up(block)
                tally.blocks += 1
                tally.compressed += size
                tally.decoded += block.nbytes
                part = found.pixels[row * side : (row + 1) * side, col * side : (col + 1) * side, index]
                part[:] = block[: part.shape[0], : part.shape[1]]
    if found is None:
        raise ValueError("no bands")
    return found


def _touched(
    at: Projection, wanted: NDArray[np.bool_], transform: Affine, shape: tuple[int, int], side: int
) -> list[tuple[int, int]]:
    """Blocks (row, column) within two pixels of a wanted one."""
    u = (at.x[wanted] - transform.c) / transform.a
    v = (at.y[wanted] - transform.f) / transform.e
    found: set[tuple[int, int]] = set()
    for dv in (-2, 2):
        for du in (-2, 2):
            inside = (u + du >= 0) & (v + dv >= 0) & (u + du < shape[1]) & (v + dv < shape[0])
            rows, cols = ((v[inside] + dv) // side).astype(int), ((u[inside] + du) // side).astype(int)
            found |= {divmod(int(code), 1000) for code in np.unique(rows * 1000 + cols)}
    return sorted(found)


@jit
def _add_up(block):  # type: ignore[no-untyped-def]
    """Undo predictor 2 in place: eight times as fast as NumPy's running sum."""
    for i in range(block.shape[0]):
        total = block[i, 0]
        for j in range(1, block.shape[1]):
            total = np.uint16(total + block[i, j])
            block[i, j] = total
