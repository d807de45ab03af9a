"""Measure the levels of a pyramid: those of a cube, of topozarr, and of a plain `xarray` coarsen.

Run it with `python -m benchmarks.pyramid --topozarr PYTHON`, where PYTHON is an interpreter with topozarr (3.12 or
newer). The pixels are synthetic reflectance with a fifth of nodata. Each writer makes the same levels in a separate
process with two threads. The pixels of all levels are compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import OpenCube
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.planning.jobs import ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.levels import level_jobs
from ardcube.storage.place import Place
from ardcube.store import layouts

BANDS = ("red", "green", "blue", "nir")
CHUNK = 1200
THREADS = 2
_PERIODS = calendar_periods(date(2023, 1, 1), date(2023, 1, 1), 1)
_TOPOZARR = """
import sys, time, json, resource
import xarray as xr, xproj
from topozarr import create_pyramid
folder, levels, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cube = xr.open_zarr(folder + "/cube.zarr", group="0", chunks=None, mask_and_scale=False)
names = ["red", "green", "blue", "nir"]
cube = cube[names].drop_vars(["spatial_ref", "time_bnds"], errors="ignore").proj.assign_crs(spatial_ref="EPSG:32633")
for name in names:
    cube[name].attrs = {"_FillValue": 0}
pyramid = create_pyramid(cube, levels=levels)
pyramid.write(folder + "/topozarr.zarr", levels=[0], max_workers=threads)
start, cpu = time.perf_counter(), time.process_time()
pyramid.write(folder + "/topozarr.zarr", mode="a", levels=list(range(1, levels)), max_workers=threads)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak}))
"""


def spec_of(folder: Path, side: int) -> CubeSpec:
    """Return the spec of a square cube of four bands and one period."""
    uri = str(folder / "cube.zarr")
    return CubeSpec(
        fingerprint="benchmark",
        grid=Grid.from_bounds((500_000, 5_000_000, 500_000 + 10.0 * side, 5_000_000 + 10.0 * side), 10.0, "EPSG:32633"),
        periods=1,
        bands=BANDS,
        varname="median",
        resampling="bilinear",
        encoding=CubeEncoding(),
        mask=DefaultCloudMaskHook(),
        store_uri=uri,
        ledger_uri=f"{uri}.ardcube",
        storage_options={},
        asset_access="unsigned",
        layout="geozarr",
    )


def write_base(spec: CubeSpec) -> None:
    """Create the cube and write the pixels of level 0."""
    layouts.create(Place.at(spec.store_uri), spec, _PERIODS, CHUNK)
    store = OpenCube(spec).store
    for tile in spec.grid.tiles(CHUNK):
        store.write_chunk(0, tile.window, *(_reflectance(tile.window.shape, seed) for seed in range(len(BANDS) + 1)))


def _reflectance(shape: tuple[int, int], seed: int) -> NDArray[np.uint16]:
    """Return digital numbers that compress as reflectance does, of which a fifth is nodata."""
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    smooth = 1500 + 600 * np.sin(rows / 90) * np.cos(cols / 70)
    values = (smooth + rng.normal(0, 60, shape)).clip(1, 65535).astype(np.uint16)
    values[: shape[0] // 5] = 0
    return values


def with_ardcube(folder: Path, side: int) -> None:
    """Build the levels as a run does: chunk by chunk, with records."""
    spec = spec_of(folder, side)
    periods = {period.label: period for period in _PERIODS}
    keys = [ChunkKey(_PERIODS[0].label, tile.row, tile.col) for tile in spec.grid.tiles(CHUNK)]
    below = {key: ChunkRecord(key, "written", "", ()) for key in keys}
    with ThreadPoolExecutor(THREADS) as pool:
        for level in layouts.levels_of(spec)[1:]:
            cube = OpenCube(level)
            jobs = level_jobs(below, level.grid, CHUNK, periods)
            below = {record.key: record for record in pool.map(lambda job, cube=cube: process_chunk(cube, job), jobs)}
            Ledger(Place.at(spec.ledger_uri)).of_level(level.level).compact()


def with_xarray(folder: Path, side: int) -> None:
    """Coarsen each level with xarray and Dask, and write it as ardcube does."""
    import dask

    from ardcube.store.schema import compressor

    levels = len(layouts.levels_of(spec_of(folder, side)))
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        for level in range(1, levels):
            source = folder / "cube.zarr" / "0" if level == 1 else folder / "xarray.zarr" / str(level - 1)
            with xr.open_zarr(source, mask_and_scale=False, consolidated=False) as cube:
                valid = cube[list(BANDS)].where(cube[list(BANDS)] != 0)
                means = valid.coarsen(x=2, y=2, boundary="pad").mean().round().fillna(0).astype("uint16")
                means = means.drop_encoding().chunk(time=1, y=CHUNK, x=CHUNK)
                encoding = {band: {"compressors": [compressor()], "chunks": (1, CHUNK, CHUNK)} for band in BANDS}
                for band in BANDS:
                    means[band].attrs = {}
                means = means.drop_vars(["spatial_ref", "time_bnds"], errors="ignore")
                means.to_zarr(folder / "xarray.zarr", group=str(level), mode="w", encoding=encoding, consolidated=False)


WRITERS: dict[str, Callable[[Path, int], None]] = {"ardcube": with_ardcube, "xarray": with_xarray}


def measure(folder: Path, side: int, python: str | None) -> dict[str, dict[str, float]]:
    """Return seconds and peak memory of each writer, each in a separate process."""
    levels = len(layouts.levels_of(spec_of(folder, side)))
    options = ["--folder", str(folder), "--side", str(side)]
    commands = {name: [sys.executable, "-m", "benchmarks.pyramid", "--writer", name, *options] for name in WRITERS}
    if python is not None:
        commands["topozarr"] = [python, "-c", _TOPOZARR, str(folder), str(levels), str(THREADS)]
    costs = {}
    for name, command in commands.items():
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        costs[name] = json.loads(done.stdout.splitlines()[-1])
    return costs


def differing_pixels(folder: Path, side: int, writer: str) -> int:
    """Return the number of pixels of all levels that differ from those of the cube."""
    differing = 0
    for level in layouts.levels_of(spec_of(folder, side))[1:]:
        groups = [folder / f"{name}.zarr" / str(level.level) for name in ("cube", writer)]
        one, other = (xr.open_zarr(group, mask_and_scale=False, consolidated=False, chunks=None) for group in groups)
        for band in BANDS:
            differing += int(np.count_nonzero(one[band].to_numpy() != other[band].to_numpy()))
    return differing


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topozarr", metavar="PYTHON", help="interpreter with topozarr")
    parser.add_argument("--side", type=int, default=9600, help="pixels per side of the cube")
    parser.add_argument("--repeats", type=int, default=3, help="measurements, of which the fastest counts")
    parser.add_argument("--writer", choices=WRITERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.writer is not None:
        start, cpu = time.perf_counter(), time.process_time()
        WRITERS[chosen.writer](chosen.folder, chosen.side)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_base(spec_of(folder, chosen.side))
        best: dict[str, dict[str, float]] = {}
        for _ in range(chosen.repeats):
            for output in [*folder.glob("topozarr.zarr"), *folder.glob("xarray.zarr"), *folder.glob("*.ardcube")]:
                shutil.rmtree(output)
            for name, cost in measure(folder, chosen.side, chosen.topozarr).items():
                best[name] = min(cost, best.get(name, cost), key=lambda one: one["seconds"])
        table = Table("writer", "Mpx/s", "s", "CPU s", "peak MB", "pixels that differ")
        for name, cost in best.items():
            megapixels = len(BANDS) * chosen.side**2 / 1e6
            differ = "" if name == "ardcube" else str(differing_pixels(folder, chosen.side, name))
            figures = f"{cost['seconds']:.2f}", f"{cost['cpu_seconds']:.2f}", f"{cost['peak_mb']:.0f}"
            table.add_row(name, f"{megapixels / cost['seconds']:.0f}", *figures, differ)
        Console().print(table)


if __name__ == "__main__":
    main()
