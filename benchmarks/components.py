"""Which library does each step of a chunk at the least CPU: `python -m benchmarks.components`.

Every way of a step works on the same arrays of real size, which are made here; ways take turns, the best of many short
times counts, and results are compared with the first way, which is what the program does. Libraries that the project
does not require are tried where they are installed, in an environment of their own, and named where they are not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import rasterio
from affine import Affine
from async_tiff import TIFF
from numpy.typing import NDArray
from obstore.store import LocalStore
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rich.console import Console
from rich.table import Table

from ardcube import composite, pixels, resample
from ardcube.cog import Cog
from ardcube.composite import median_of_valid, sorting_network
from ardcube.grid import Grid, Window
from ardcube.masking import close_then_open
from ardcube.pixels import SourcePixels
from ardcube.raster import Blocks, Level
from ardcube.resample import project, resample_window
from benchmarks.archive import FULL, RESOLUTION, SEED, scenes
from benchmarks.scenery import strips

EPSG = 32633
PIXEL = 20.0
"""Metres, of the level that a cube at 1/3600 degree reads."""
CLEAR = (4, 5)
"""Vegetation and bare soil, of the scene classification."""
RADIUS = 5
"""Pixels, of the disks that clean a mask."""
NEAR = 5
"""Digital numbers that make no difference to a user."""
_COVER = 0.28
"""Share under cloud of the scene that is decoded, resampled and masked: one that a composite does use."""
_LEAST_TIMES = 3


@dataclass(frozen=True, slots=True)
class Size:
    """How large the arrays are, in pixels."""

    block: int
    """Rows and columns of a block; a raster has two by two of them."""
    chunk: int
    masked: int
    """Rows and columns of a chunk and the mask's halo."""
    days: int
    """Of a month; ten times as many are tried too, of a tenth of the pixels."""


REAL = Size(1024, 1200, 1240, 12)
TINY = Size(128, 60, 100, 4)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of a step."""

    name: str
    module: str
    """What must be installed."""
    prepare: Callable[[], Callable[[], Any]]
    """Imports what it needs, and gives what is to be timed."""
    shown: Callable[[Any], NDArray[Any]] = np.asarray
    """Makes the result comparable; not timed."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step and its ways; the first one is the program's."""

    name: str
    amount: float
    unit: str
    """Of `amount`: MB decoded, or Mpx of one band that come out."""
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """Best of several times."""

    step: str
    way: str
    cpu_ms: float
    """Of all threads."""
    rate: str
    ratio: float
    """To the step's first way."""
    equal: float
    """Share of values that are those of the first way."""
    near: float
    """Share of values that differ by at most `NEAR`."""
    largest: float
    """Difference, in digital numbers."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the steps before the median work on."""

    numbers: NDArray[np.uint16]
    """Digital numbers of four bands, none missing, (band, y, x)."""
    classes: NDArray[np.uint8]
    """Scene classification, (y, x)."""
    grid: Grid
    """Of a chunk that lies within the raster."""
    transform: Affine


def scene(size: Size) -> Scene:
    """A raster of two by two blocks, from means of two by two pixels of 10 m, as in a granule's first overview."""
    side = 2 * size.block
    numbers = np.empty((4, side, side), np.uint16)
    classes = np.empty((side, side), np.uint8)
    seed = (SEED, EPSG, 0)
    for strip in strips((2 * side, 2 * side), seed=seed, land_seed=EPSG, cover=_COVER, edge=None):
        rows = slice(strip.row // 2, strip.row // 2 + strip.classes.shape[0])
        fine = strip.numbers.reshape(4, -1, 2, side, 2)
        numbers[:, rows] = np.rint(fine.mean(axis=(2, 4), dtype=np.float32))
        classes[rows] = strip.classes
    west, north = FULL.bbox[0], FULL.bbox[3]
    span = size.chunk * RESOLUTION
    grid = Grid.from_bounds((west, north - span, west + span, north), RESOLUTION)
    found = project(grid, Window(0, size.chunk, 0, size.chunk), f"EPSG:{EPSG}").coordinates()
    left, top = (PIXEL * round(value / PIXEL) for value in (found.x.min() - 5 * PIXEL, found.y.max() + 5 * PIXEL))
    return Scene(numbers, classes, grid, Affine(PIXEL, 0, left, 0, -PIXEL, top))


def days(size: Size) -> NDArray[np.uint16]:
    """Clear digital numbers of one band in one month, 0 where cloudy: (day, y, x)."""
    covers = {one.number: one.cover for one in scenes(FULL)}
    shape = (size.chunk, size.chunk)
    stack = np.empty((size.days, *shape), np.uint16)
    for day in range(size.days):
        for strip in strips(shape, seed=(SEED, EPSG, day), land_seed=EPSG, cover=covers[day], edge=None):
            clear = np.isin(strip.classes, CLEAR).repeat(2, axis=0).repeat(2, axis=1)
            stack[day, strip.row : strip.row + len(clear)] = np.where(clear, strip.numbers[0], 0)
    return stack


def write_bands(given: Scene, size: Size, folder: Path) -> list[Path]:
    """Write each band as the archive does: blocks, DEFLATE at level 6, predictor 2."""
    paths = []
    for band, layer in enumerate(given.numbers):
        paths.append(folder / f"{band}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", height=layer.shape[0], width=layer.shape[1], count=1, dtype=layer.dtype,
            crs=f"EPSG:{EPSG}", transform=given.transform, nodata=0, tiled=True, blockxsize=size.block,
            blockysize=size.block, compress="DEFLATE", zlevel=6, predictor=2,
        ) as file:  # fmt: skip
            file.write(layer, 1)
    return paths


@contextmanager
def _uncompiled() -> Iterator[None]:
    with ExitStack() as stack:
        for module in (composite, pixels, resample):
            stack.enter_context(patch.object(module, "COMPILED", False))
        yield


def _plainly(work: Callable[[], Any]) -> Any:
    with _uncompiled():
        return work()


def inflate(path: Path) -> Step:
    """Inflate one block, from memory to memory."""
    cog = Cog.open(str(path))
    level = cog.header.levels[0]
    first = np.zeros(level.blocks, bool)
    first[0, 0] = True
    content = bytes(cog.fetch(level, Blocks(first, 0, 0, *level.block)).contents[0, 0])
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
    """Open a local file of four blocks and decode all of it; what is read comes from the page cache."""

    def ours() -> NDArray[Any]:
        cog = Cog.open(str(path))
        level = cog.header.levels[0]
        blocks = Blocks(np.ones(level.blocks, bool), 0, 0, level.height, level.width)
        part = cog.fetch(level, blocks)
        return SourcePixels.decode([part], blocks, cog.header.dtype, 0, find_holes=False).values[..., 0]

    def gdal() -> NDArray[Any]:
        with rasterio.open(path) as file:
            return file.read(1)

    store = LocalStore(path.parent)

    async def async_tiff() -> NDArray[Any]:
        tiff = await TIFF.open(path.name, store=store)
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
            Way("ardcube.cog (obstore, libdeflate)", "deflate", lambda: ours),
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

    def weave() -> Callable[[], Any]:
        kernels = import_module("ardcube.kernels")

        def run() -> NDArray[Any]:
            values = np.empty(shape, np.uint16)
            kernels.weave(*coded, True, 0, values)
            return values

        return run

    def one_by_one() -> Callable[[], Any]:
        kernels = import_module("ardcube.kernels")

        def run() -> NDArray[Any]:
            values = np.empty(shape, np.uint16)
            for lane, band in enumerate(coded):
                kernels.add_up(band, True, 0, values[..., lane])
            return values

        return run

    def delta() -> Callable[[], Any]:
        return partial(lanes, partial(import_module("imagecodecs").delta_decode, axis=1))

    return Step(
        "undo predictor 2, interleave 4 bands", sum(band.nbytes for band in bands) / 1e6, "MB",
        (
            Way("ardcube.kernels.weave", "numba", weave),
            Way("ardcube.kernels.add_up, band by band", "numba", one_by_one),
            Way("numpy.add.accumulate", "numpy",
                lambda: partial(lanes, partial(np.add.accumulate, axis=1, dtype=np.uint16))),
            Way("imagecodecs.delta_decode", "imagecodecs", delta),
        ),
    )  # fmt: skip


def warp(given: Scene, size: Size) -> Step:
    """Resample four bands, with a swath's edge, to a chunk, projection included.

    Only the first two ways give the contract's pixels. Results are compared up to a little beyond the swath's edge.

    GDAL takes its kernel from the window. SciPy and OpenCV take four neighbours whatever the scale, do not know
    nodata, and get coordinates that are ready.
    """
    crs, grid, window = f"EPSG:{EPSG}", given.grid, Window(0, size.chunk, 0, size.chunk)
    row, column = np.ogrid[: given.classes.shape[0], : given.classes.shape[1]]
    numbers = np.where(column < size.chunk - row / 10, given.numbers, np.uint16(0))
    values = np.ascontiguousarray(np.moveaxis(numbers, 0, -1))
    level = Level(0, *values.shape[:2], given.transform, (size.block, size.block))
    shape = (4, *window.shape)

    def ours() -> NDArray[Any]:
        out = np.zeros(shape, np.uint16)
        source = SourcePixels.of(values, 0, 0, 0)
        wanted = np.ones(window.shape, bool)
        resample_window(out, range(4), wanted, project(grid, window, crs), source, level, resampling="bilinear")
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

    at = project(grid, window, crs).coordinates()
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
            way("ardcube.resample (numba)", "numba", lambda: ours),
            way("ardcube.resample (NumPy)", "numpy", lambda: partial(_plainly, ours)),
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
    """Median over days. Those that want NaN get it ready-made."""
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
            Way("ardcube.composite (numba)", "numba", lambda: partial(median_of_valid, stack)),
            Way("ardcube.composite (numpy.sort)", "numpy", lambda: partial(_plainly, partial(median_of_valid, stack))),
            Way("sorting network in NumPy", "numpy", lambda: partial(_network_median, stack)),
            Way("bottleneck", "bottleneck",
                lambda: partial(import_module("bottleneck").nanmedian, floats, axis=0), digits),
            Way("numbagg", "numbagg", lambda: partial(import_module("numbagg").nanmedian, floats, axis=0), digits),
            Way("numpy.nanmedian", "numpy", lambda: quietly, digits),
        ),
    )  # fmt: skip


def _network_median(stack: NDArray[np.uint16], rows: int = 16) -> NDArray[np.uint16]:
    """What the compiled kernel does, on a few rows at once, so that they stay in the cache."""
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
    """Close, then open a mask. Results are compared where the array's edge does not reach."""
    bad = ~np.isin(given.classes[: size.masked, : size.masked], CLEAR)
    y, x = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disk = x * x + y * y <= RADIUS * RADIUS
    halo = 4 * RADIUS

    def way(name: str, module: str, prepare: Callable[[], Callable[[], Any]]) -> Way:
        return Way(name, module, prepare, lambda result: np.asarray(result, bool)[halo:-halo, halo:-halo])

    def odc() -> Callable[[], Any]:
        mask = import_module("xarray").DataArray(bad, dims=("y", "x"))
        filters = [("closing", RADIUS), ("opening", RADIUS)]
        return partial(import_module("odc.algo").mask_cleanup, mask, filters)

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
            way("ardcube.masking (bits, NumPy)", "numpy", lambda: partial(close_then_open, bad, RADIUS, RADIUS)),
            way("OpenCV morphologyEx", "cv2", opencv),
            way("scipy.ndimage", "scipy", scipy),
            way("scikit-image closing, opening", "skimage", skimage),
            way("scikit-image isotropic_*", "skimage", by_distance),
            way("odc.algo.mask_cleanup", "odc.algo", odc),
        ),
    )  # fmt: skip


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


def installed(way: Way) -> bool:
    """Whether a way can be tried here."""
    try:
        return find_spec(way.module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def measure(step: Step, seconds: float) -> Iterator[Cost]:
    """Time the ways that are installed, in turns, each for some `seconds` of CPU and a few times at least."""
    ways = [way for way in step.ways if installed(way)]
    works = [way.prepare() for way in ways]
    shown = [way.shown(work()).astype(np.float64) for way, work in zip(ways, works, strict=True)]  # and compiled by now
    times: list[list[float]] = [[] for _ in ways]
    while unfinished := [
        position for position, taken in enumerate(times) if len(taken) < _LEAST_TIMES or sum(taken) < seconds
    ]:
        for position in unfinished:
            start = time.process_time()
            works[position]()
            times[position].append(time.process_time() - start)
    for way, result, taken in zip(ways, shown, times, strict=True):
        apart = np.abs(result - shown[0])
        cpu = min(taken)
        rate = f"{step.amount / cpu:.0f} MB/s" if step.unit == "MB" else f"{1000 * cpu / step.amount:.3g} ms/Mpx"
        yield Cost(
            step.name, way.name, 1000 * cpu, rate, cpu / min(times[0]),
            float((apart == 0).mean()), float((apart <= NEAR).mean()), float(apart.max()),
        )  # fmt: skip


def _table(costs: Sequence[Cost]) -> Table:
    table = Table("step", "way", "CPU ms", "rate", "times the first", "equal %", f"within {NEAR} %", "largest")
    last = ""
    for cost in costs:
        table.add_row(
            cost.step if cost.step != last else "", cost.way, f"{cost.cpu_ms:.1f}", cost.rate, f"{cost.ratio:.2f}",
            f"{100 * cost.equal:.4g}", f"{100 * cost.near:.4g}", f"{cost.largest:.0f}",
        )  # fmt: skip
        last = cost.step
    return table


def _versions(modules: set[str]) -> dict[str, str]:
    owners = packages_distributions()
    names = sorted({name for module in modules for name in owners.get(module.split(".")[0], [])})
    return {name: version(name) for name in names} | {"GDAL": rasterio.__gdal_version__}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small arrays, a few times")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU for each way of a step")
    parser.add_argument("--output", type=Path, default=Path("output/bench"), help="folder of components.json")
    chosen = parser.parse_args()
    os.environ["NUMBA_NUM_THREADS"] = "1"  # numbagg would take all cores
    size, seconds = (TINY, 0.0) if chosen.short else (REAL, chosen.seconds)
    costs: list[Cost] = []
    ways: list[Way] = []
    with tempfile.TemporaryDirectory(prefix="ardcube-components-") as folder:
        for step in steps(size, Path(folder)):
            costs += measure(step, seconds)
            ways += step.ways
    missing = sorted({way.module for way in ways if not installed(way)})
    console = Console(width=150)
    console.print(_table(costs))
    if missing:
        console.print(f"not installed, so not tried: {', '.join(missing)}")
    chosen.output.mkdir(parents=True, exist_ok=True)
    result = {
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "versions": _versions({way.module for way in ways if installed(way)}),
        "missing": missing,
        "costs": [asdict(cost) for cost in costs],
    }
    (chosen.output / "components.json").write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {chosen.output}/components.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
