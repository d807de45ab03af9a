"""The steps of a chunk, each with the program's implementation and those of libraries; see `benchmarks.components`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from obstore.store import LocalStore
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from ardcube.extent.window import Window
from ardcube.pixels.classification import ClearPixels, clear_pixels
from ardcube.pixels.masks import SCLCloudMaskHook
from ardcube.pixels.median import median_of_valid, sorting_network
from ardcube.pixels.nodes import NODE_STEP, SourceAxes
from ardcube.pixels.projection import project
from ardcube.pixels.resample import resample_window
from ardcube.raster.cog import Cog
from ardcube.raster.decode import DecodedBlock, Encoding, SourcePixels
from ardcube.raster.gdal import GdalBand
from ardcube.raster.header import Blocks, Level
from benchmarks.component_scene import CLEAR, EPSG, Scene, Size, days, scene, write_bands

RADIUS = 5
"""Pixels, of the disks that clean a mask."""


@dataclass(frozen=True, slots=True)
class Way:
    """One implementation of a step."""

    name: str
    module: str
    """Module that must be installed."""
    prepare: Callable[[], Callable[[], Any]]
    """Imports its libraries and returns the function to time."""
    shown: Callable[[Any], NDArray[Any]] = np.asarray
    """Makes the result comparable; not timed."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step and its implementations, the program's first."""

    name: str
    amount: float
    unit: str
    """Of `amount`: MB decoded, or Mpx of one band that come out."""
    ways: tuple[Way, ...]


def inflate(path: Path) -> Step:
    """Inflate one block, from memory to memory."""
    cog = Cog.open(str(path))
    level = cog.header.levels[0]
    first = np.zeros(level.block_grid, bool)
    first[0, 0] = True
    content = bytes(cog.fetch(Blocks(level, first, 0, 0, *level.block)).contents[0, 0])
    length = level.block[0] * level.block[1] * np.dtype(cog.header.dtype).itemsize

    def bytewise(name: str, module: str, function: str, **options: int) -> Way:
        def prepare() -> Callable[[], Any]:
            return partial(getattr(import_module(module), function), content, **options)

        return Way(name, module.split(".")[0], prepare, partial(np.frombuffer, dtype=np.uint16))

    return Step(
        f"inflate a block ({length / len(content):.2f} : 1)", length / 1e6, "MB",
        (
            bytewise("libdeflate (deflate)", "deflate", "zlib_decompress", originalsize=length),
            bytewise("libdeflate (imagecodecs)", "imagecodecs", "deflate_decode", out=length),
            bytewise("isal", "isal.isal_zlib", "decompress"),
            bytewise("zlib-ng", "zlib_ng.zlib_ng", "decompress"),
            bytewise("zlib", "zlib", "decompress"),
        ),
    )  # fmt: skip


def read(path: Path) -> Step:
    """Open a local file of four blocks and decode all of it, from the page cache."""

    def ours() -> NDArray[Any]:
        cog = Cog.open(str(path))
        level = cog.header.levels[0]
        blocks = Blocks(level, np.ones(level.block_grid, bool), 0, 0, level.height, level.width)
        band = cog.fetch(blocks)
        return SourcePixels.decode([band], blocks, cog.header.dtype, Encoding(0), find_holes=False).values[..., 0]

    def gdal() -> NDArray[Any]:
        with rasterio.open(path) as file:
            return file.read(1)

    store = LocalStore(path.parent)

    async def async_tiff() -> NDArray[Any]:
        tiff = await import_module("async_tiff").TIFF.open(path.name, store=store)
        ifd = tiff.ifds[0]
        values = np.empty((ifd.image_height, ifd.image_width), np.uint16)
        height, width = ifd.tile_height, ifd.tile_width
        rows, cols = values.shape[0] // height, values.shape[1] // width
        for tile in await tiff.fetch_tiles([(x, y) for y in range(rows) for x in range(cols)], 0):
            y, x = tile.y * height, tile.x * width
            values[y : y + height, x : x + width] = np.asarray(tile.decode_sync(decoder_registry=None))[..., 0]
        return values

    async def async_geotiff() -> NDArray[Any]:
        file = await import_module("async_geotiff").GeoTIFF.open(path.name, store=store)
        return (await file.read()).data[0]

    with rasterio.open(path) as file:
        amount = file.height * file.width * 2 / 1e6
    return Step(
        "open and read four blocks", amount, "MB",
        (
            Way("ardcube.raster.cog (obstore, libdeflate)", "deflate", lambda: ours),
            Way("GDAL (rasterio)", "rasterio", lambda: gdal),
            Way("async-tiff's decoder", "async_tiff", lambda: lambda: asyncio.run(async_tiff())),
            Way("async-geotiff", "async_geotiff", lambda: lambda: asyncio.run(async_geotiff())),
            Way("tifffile", "tifffile", lambda: partial(import_module("tifffile").imread, path, maxworkers=1)),
        ),
    )  # fmt: skip


def undo_predictor(given: Scene, size: Size) -> Step:
    """Add up the differences of a block of four bands, and interleave these."""
    bands = [np.ascontiguousarray(layer[: size.block, : size.block]) for layer in given.numbers]
    coded = [np.diff(band, axis=1, prepend=band.dtype.type(0)) for band in bands]
    shape = (*bands[0].shape, 4)

    def lanes(summed: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        values = np.empty(shape, np.uint16)
        for lane, band in enumerate(coded):
            values[..., lane] = summed(band)
        return values

    none, no_holes = np.uint16(0), np.zeros((0, 0), bool)

    def side_by_side() -> Callable[[], Any]:
        interleave = import_module("ardcube.kernels.interleave")

        def run() -> NDArray[Any]:
            values = np.empty(shape, np.uint16)
            interleave.interleave_bands(*coded, True, 0, shape[1], values, 0, 0, none, no_holes)
            return values

        return run

    def one_by_one() -> Callable[[], Any]:
        interleave = import_module("ardcube.kernels.interleave")

        def run() -> NDArray[Any]:
            values, alone = np.empty(shape, np.uint16), np.empty((*shape[:2], 1), np.uint16)
            for lane, band in enumerate(coded):
                interleave.copy_band(band, True, 0, shape[1], alone, 0, 0, none, no_holes)
                values[..., lane] = alone[..., 0]
            return values

        return run

    def delta() -> Callable[[], Any]:
        return partial(lanes, partial(import_module("imagecodecs").delta_decode, axis=1))

    return Step(
        "undo predictor 2, interleave 4 bands", sum(band.nbytes for band in bands) / 1e6, "MB",
        (
            Way("ardcube.kernels.interleave.interleave_bands", "numba", side_by_side),
            Way("ardcube.kernels.interleave.copy_band, then interleaved", "numba", one_by_one),
            Way("numpy.add.accumulate", "numpy",
                lambda: partial(lanes, partial(np.add.accumulate, axis=1, dtype=np.uint16))),
            Way("imagecodecs.delta_decode", "imagecodecs", delta),
        ),
    )  # fmt: skip


def warp(given: Scene, size: Size) -> Step:
    """Resample four bands, with a swath's edge, to a chunk, projection included.

    Only the first way gives the contract's pixels. Results are compared up to a little beyond the swath's edge.

    GDAL takes its kernel from the window. SciPy and OpenCV take four neighbours whatever the scale, do not know
    nodata, and get coordinates that are ready.
    """
    crs, grid, window = f"EPSG:{EPSG}", given.grid, Window(0, size.chunk, 0, size.chunk)
    axes = SourceAxes(crs, NODE_STEP)
    row, column = np.ogrid[: given.classes.shape[0], : given.classes.shape[1]]
    numbers = np.where(column < size.chunk - row / 10, given.numbers, np.uint16(0))
    values = np.ascontiguousarray(np.moveaxis(numbers, 0, -1))
    level = Level(0, *values.shape[:2], given.transform, (size.block, size.block))
    blocks = Blocks(level, np.ones(level.block_grid, bool), 0, 0, level.height, level.width)
    decoded = [GdalBand(DecodedBlock(0, 0, band)) for band in numbers]
    shape, source = (4, *window.shape), SourcePixels.decode(decoded, blocks, "uint16", Encoding(0))

    def ours() -> NDArray[Any]:
        out = np.zeros(shape, np.uint16)
        wanted = np.ones(window.shape, bool)
        resample_window(out, range(4), wanted, project(grid.lattice, grid.to_global(window), axes), source, "bilinear")
        return out

    def gdal(**options: int) -> Callable[[], Callable[[], Any]]:
        def run() -> NDArray[Any]:
            out = np.zeros(shape, np.uint16)
            rasterio.warp.reproject(
                numbers, out, src_transform=given.transform, src_crs=crs, dst_transform=grid.transform,
                dst_crs="EPSG:4326", resampling=Resampling.bilinear, num_threads=1, **options,
            )  # fmt: skip
            return out

        import_module("rasterio.warp")
        return lambda: run

    def odc() -> Callable[[], Any]:
        reproject = import_module("odc.geo.warp").rio_reproject
        source = GeoBox(values.shape[:2], given.transform, crs)

        def run() -> NDArray[Any]:
            out = np.zeros(shape, np.uint16)
            return reproject(numbers, out, source, grid.geobox, "bilinear", 0, 0, ydim=1)

        return run

    at = project(grid.lattice, grid.to_global(window), axes).coordinates()
    inverse = ~given.transform
    u, v = at.x * inverse.a + inverse.c - 0.5, at.y * inverse.e + inverse.f - 0.5
    seen = u < size.chunk - v / 10 + 2

    def way(name: str, module: str, prepare: Callable[[], Callable[[], Any]], bands: int = 0) -> Way:
        return Way(name, module, prepare, lambda result: np.moveaxis(result, bands, 0)[:, seen])

    def scipy() -> Callable[[], Any]:
        sample = import_module("scipy.ndimage").map_coordinates
        return lambda: np.stack([np.rint(sample(band, (v, u), np.float64, order=1)) for band in numbers])

    def opencv() -> Callable[[], Any]:
        cv2 = _opencv()
        return partial(cv2.remap, values, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)

    return Step(
        "resample 4 bands", 4 * size.chunk**2 / 1e6, "Mpx",
        (
            way("ardcube.pixels.resample (numba)", "numba", lambda: ours),
            way("GDAL", "rasterio", gdal(src_nodata=0, dst_nodata=0)),
            way("GDAL, blind to nodata", "rasterio", gdal()),
            way("odc-geo rio_reproject", "odc.geo", odc),
            way("scipy map_coordinates", "scipy", scipy),
            way("OpenCV remap", "cv2", opencv, -1),
        ),
    )  # fmt: skip


def _opencv() -> Any:
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    return cv2


def median(stack: NDArray[np.uint16]) -> Step:
    """Median over days. Libraries that expect NaN get an array with NaN."""
    floats = np.where(stack != 0, stack, np.float32(np.nan))
    count = stack.shape[1] * stack.shape[2]

    def digits(result: NDArray[Any]) -> NDArray[Any]:
        return np.rint(np.nan_to_num(result))

    def quietly() -> NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a pixel without observations
            return np.nanmedian(floats, axis=0)

    return Step(
        f"median of {len(stack)} days", count / 1e6, "Mpx",
        (
            Way("ardcube.pixels.median (numba)", "numba", lambda: partial(median_of_valid, stack)),
            Way("sorting network in NumPy", "numpy", lambda: partial(_network_median, stack)),
            Way("bottleneck", "bottleneck",
                lambda: partial(import_module("bottleneck").nanmedian, floats, axis=0), digits),
            Way("numbagg", "numbagg", lambda: partial(import_module("numbagg").nanmedian, floats, axis=0), digits),
            Way("numpy.nanmedian", "numpy", lambda: quietly, digits),
        ),
    )  # fmt: skip


def _network_median(stack: NDArray[np.uint16], rows: int = 16) -> NDArray[np.uint16]:
    """Do the same as the compiled kernel, a few rows at a time so that they stay in the cache."""
    result = np.empty(stack.shape[1:], np.uint16)
    pairs = sorting_network(len(stack)).tolist()
    for top in range(0, stack.shape[1], rows):
        part = stack[:, top : top + rows]
        count = np.count_nonzero(part, axis=0)
        lanes = part - np.uint16(1)
        spare = np.empty_like(lanes[0])
        for low, high in pairs:
            np.minimum(lanes[low], lanes[high], out=spare)
            np.maximum(lanes[low], lanes[high], out=lanes[high])
            lanes[low] = spare
        middle = (np.take_along_axis(lanes, (np.maximum(count - less, 0) // 2)[None], axis=0)[0] for less in (1, 0))
        total = sum(one.astype(np.int64) + 1 for one in middle)
        result[top : top + rows] = np.where(count == 0, 0, (total >> 1) + (total & total >> 1 & 1))
    return result


def clean(given: Scene, size: Size) -> Step:
    """Close, then open a mask. Results are compared where the array's edge has no effect."""
    classes = np.ascontiguousarray(given.classes[: size.masked, : size.masked])
    bad = ~np.isin(classes, CLEAR)
    y, x = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disk = x * x + y * y <= RADIUS * RADIUS
    halo = 4 * RADIUS

    def inner(result: Any) -> NDArray[np.bool_]:
        return np.asarray(result, bool)[halo:-halo, halo:-halo]

    def way(name: str, module: str, prepare: Callable[[], Callable[[], Any]]) -> Way:
        return Way(name, module, prepare, inner)

    def odc() -> Callable[[], Any]:
        mask = import_module("xarray").DataArray(bad, dims=("y", "x"))
        filters = [("closing", RADIUS), ("opening", RADIUS)]
        return partial(import_module("odc.algo").mask_cleanup, mask, filters)

    mask = SCLCloudMaskHook(closing=RADIUS, opening=RADIUS, allowed_values=CLEAR)
    ours = partial(clear_pixels, mask, classes, {0}, (1.0, 1.0))

    def scipy() -> Callable[[], Any]:
        ndimage = import_module("scipy.ndimage")
        return lambda: ndimage.binary_opening(ndimage.binary_closing(bad, disk), disk)

    def skimage() -> Callable[[], Any]:
        morphology = import_module("skimage.morphology")
        return lambda: morphology.opening(morphology.closing(bad, disk), disk)

    def by_distance() -> Callable[[], Any]:
        morphology = import_module("skimage.morphology")
        return lambda: morphology.isotropic_opening(morphology.isotropic_closing(bad, RADIUS), RADIUS)

    def opencv() -> Callable[[], Any]:
        cv2 = _opencv()
        shape, bytewise = disk.astype(np.uint8), bad.view(np.uint8)
        return lambda: cv2.morphologyEx(
            cv2.morphologyEx(bytewise, cv2.MORPH_CLOSE, shape), cv2.MORPH_OPEN, shape
        )  # fmt: skip

    return Step(
        "closing 5, opening 5", bad.size / 1e6, "Mpx",
        (
            Way("ardcube (bits, numba)", "numba", lambda: ours, lambda found: inner(_not_clear(found))),
            way("OpenCV morphologyEx", "cv2", opencv),
            way("scipy.ndimage", "scipy", scipy),
            way("scikit-image closing, opening", "skimage", skimage),
            way("scikit-image isotropic_*", "skimage", by_distance),
            way("odc.algo.mask_cleanup", "odc.algo", odc),
        ),
    )  # fmt: skip


def _not_clear(found: ClearPixels) -> NDArray[np.bool_]:
    """Unpack the pixels that are not clear, bool (y, x)."""
    layout = found.layout
    rows = found.clear[layout.start :][: layout.height * layout.stride].reshape(layout.height, layout.stride)
    return np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little", count=layout.width) == 0


def steps(size: Size, folder: Path) -> Iterator[Step]:
    """All steps in the order of a chunk; `folder` is for four small files."""
    given = scene(size)
    paths = write_bands(given, size, folder)
    yield inflate(paths[0])
    yield read(paths[0])
    yield undo_predictor(given, size)
    yield warp(given, size)
    stack = days(size)
    yield median(stack)
    yield median(stack.reshape(10 * len(stack), -1, size.chunk))
    yield clean(given, size)
