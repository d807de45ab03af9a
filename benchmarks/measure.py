"""Run one task from stdin in a new process: `python -m benchmarks.measure`.

The result is printed as JSON.

The measured chunk is the second of the process, because most chunks of a worker are not the first. Imports and the
first chunk, the same one with other addresses, count as start-up. The peak of memory is that of the whole process while
the second chunk is built, because the kernel's counter is reset before it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from benchmarks.archive import RESOLUTION
from benchmarks.products import HLS, LANDSAT, SENTINEL_2, Product

BANDS = ("red", "green", "blue", "nir")
"""Bands of Sentinel-2 that are measured."""
COMPOSITES = {
    "ours-geomedian": ("geomedian",),
    "ours-geomedian-mads": ("geomedian", "mads"),
    "ours-medoid": ("medoid",),
    "ours-percentile": ("percentile:25",),
    "ours-max-ndvi": ("max-ndvi",),
    "ours-best-pixel": ("best-pixel",),
    "ours-least-cloudy": ("least-cloudy",),
}
"""Composites by way; the other ways of ardcube have the median."""
PRODUCTS = {product.name: product for product in (SENTINEL_2, HLS, LANDSAT)}


@dataclass(frozen=True, slots=True)
class Task:
    """The task of a child process."""

    way: str
    """`ours`: ardcube; `ours-gdal`: ardcube with the GDAL reader; `ours-pair`: two neighbouring chunks in two threads
    of one worker; `ours-processes`: one of these two chunks, while another process builds the other; `baseline`;
    `baseline-geomedian`: its geometric median; `load`: `odc.stac.load` alone; `load-exact`: the same with
    `ardcube.odc_driver`; or ardcube with other composites (`COMPOSITES`)."""
    catalog: str
    """Folder of items.json and collection.json."""
    first_catalog: str
    """The same for the first chunk of the process."""
    bbox: tuple[float, float, float, float]
    months: tuple[str, str]
    """First and last month of the only period."""
    chunk: int
    masked: bool
    """Whether the mask of the product is used."""
    threads: int
    dask_chunk: int
    requests: int
    """Requests in flight of ardcube."""
    job: int
    """Index of the chunk, for ardcube."""
    scratch: str
    """Empty folder for the stores."""
    pixels: str = ""
    """File for the pixels of the first measured chunk, .npy."""
    product: str = SENTINEL_2.name
    """Name of the product."""
    like: str = ""
    """Raster whose grid the chunk has; empty for the bounding box in degrees."""
    more_bands: tuple[str, ...] = ()
    """Asset keys of further bands, for ardcube."""


@dataclass(slots=True)
class Outcome:
    """The result of a measurement, per chunk."""

    way: str
    cpu_seconds: float
    """User and system time of all threads."""
    wall_seconds: float
    peak_mb: float
    """Largest resident set of the whole process while it built the chunk."""
    startup_seconds: float
    """From the start of Python to the end of the first chunk."""
    startup_cpu_seconds: float
    plan_seconds: float
    """Parsing items, planning and creating the store."""
    chunks: int
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds by stage; empty if the way does not report stages."""
    estimate_mb: float = 0.0
    """Estimate of the memory of the process, in the unit of `peak_mb`; 0 if the way has none."""


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


Ready = tuple[Callable[[], list[dict[str, float]]], Callable[[], Any], int, float]
"""A function that builds and returns seconds by stage, one that reads the pixels, the number of chunks, and the
estimate of the memory of the process in MB."""


def prepare_ours(task: Task, *, first: bool) -> Ready:
    """Plan a cube of ardcube and create its store."""
    from ardcube.chunk.build import process_chunk
    from ardcube.chunk.open_cube import open_cube
    from ardcube.config import CubeConfig, RunConfig
    from ardcube.planning.estimate import estimate
    from ardcube.planning.memory import WORKER_BYTES
    from ardcube.prepare.check import check_request
    from ardcube.prepare.initialize import initialize
    from ardcube.prepare.make_plan import make_plan, search_scenes

    product = PRODUCTS[task.product]
    start, last = task.months
    months = (int(last[:4]) - int(start[:4])) * 12 + int(last[5:7]) - int(start[5:7]) + 1
    cube = CubeConfig(
        start_date=f"{start}-01",
        end_date=f"{last}-01",
        time_frequency_months=months,
        **({"like": task.like} if task.like else {"bbox": task.bbox}),
        chunk_size=task.chunk,
        bands=(*product.bands, *task.more_bands),
        composites=COMPOSITES.get(task.way, ("median",)),
        **_mask(product) if task.masked else {},
        collection=product.collection,
        stac_url=task.first_catalog if first else task.catalog,
    )
    store = f"{task.scratch}/{'first' if first else 'cube'}.zarr"
    run = RunConfig(
        fsspec_uri=store,
        threads=task.threads,
        reader="gdal" if task.way == "ours-gdal" else "auto",
        requests=task.requests,
        decode_threads=task.threads,
    )
    request = check_request(cube, run)
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    jobs = list(plan.jobs[:2]) if task.way == "ours-pair" else [plan.jobs[task.job]]

    opened = open_cube(plan.spec)

    def build() -> list[dict[str, float]]:
        if len(jobs) == 1:
            return [dict(process_chunk(opened, jobs[0]).seconds)]
        with ThreadPoolExecutor(task.threads) as pool:
            return [dict(record.seconds) for record in pool.map(lambda job: process_chunk(opened, job), jobs)]

    def pixels() -> Any:
        import zarr

        rows, cols = jobs[0].window.slices
        return zarr.open_group(store, mode="r")[cube.varname][0, rows, cols, :]

    return build, pixels, len(jobs), (WORKER_BYTES + len(jobs) * estimate(plan).bytes_per_chunk) / 2**20


def _mask(product: Product) -> dict[str, Any]:
    """Return the mask of a product, cleaned up as the baseline does: 5 pixels of 30 m, or the default of SCL."""
    radius = {} if product is SENTINEL_2 else {"closing": 155, "opening": 155}
    return {"cloud_mask": product.cloud_mask, "cloud_mask_options": radius}


def _geobox(task: Task) -> GeoBox:
    """Return the grid of the chunk for the baseline."""
    if task.like:
        with rasterio.open(task.like) as like:
            return GeoBox(like.shape, like.transform, like.crs.to_wkt())
    return GeoBox.from_bbox(task.bbox, crs="EPSG:4326", resolution=RESOLUTION)[: task.chunk, : task.chunk]


def prepare_baseline(task: Task, *, first: bool) -> Ready:
    """Parse the items and create the store of one chunk."""
    from benchmarks.baseline import build_chunk, create_store, parse_items

    catalog = Path(task.first_catalog if first else task.catalog)
    items = parse_items(json.loads((catalog / "items.json").read_text())["features"])
    product, geobox = PRODUCTS[task.product], _geobox(task)
    store = Path(task.scratch) / ("first.zarr" if first else "baseline.zarr")
    create_store(geobox, product, store)
    kept: list[Any] = []

    def build() -> list[dict[str, float]]:
        how = {"masked": task.masked, "dask_chunk": task.dask_chunk, "threads": task.threads}
        how["with_geomedian"] = task.way == "baseline-geomedian"
        kept.append(build_chunk(items, geobox, product, store, **how))
        return []

    return build, kept.pop, 1, 0.0


def prepare_load(task: Task, *, first: bool) -> Ready:
    """Parse the items of one chunk for `odc.stac.load` without mask or composite."""
    import dask

    from benchmarks.baseline import load, parse_items

    catalog = Path(task.first_catalog if first else task.catalog)
    items = parse_items(json.loads((catalog / "items.json").read_text())["features"])
    product, geobox = PRODUCTS[task.product], _geobox(task)
    driver = "ardcube.odc_driver.ExactDriver" if task.way == "load-exact" else "rio"
    kept: list[Any] = []

    def build() -> list[dict[str, float]]:
        with dask.config.set(scheduler="threads", num_workers=task.threads):
            loaded = load(items, geobox, product, masked=task.masked, dask_chunk=task.dask_chunk, driver=driver)
            kept.append(loaded.compute())
        return []

    bands = [product.assets[band] for band in product.bands]
    return build, lambda: kept.pop()[bands].isel(time=0).to_dataarray("band").to_numpy(), 1, 0.0


def measure(task: Task, started: float) -> Outcome:
    """Build the first chunk, then measure the second."""
    prepare = {
        "baseline": prepare_baseline, "baseline-geomedian": prepare_baseline,
        "load": prepare_load, "load-exact": prepare_load,
    }.get(task.way, prepare_ours)  # fmt: skip
    prepare(task, first=True)[0]()
    startup, startup_cpu = time.time() - started, _cpu()
    start = time.perf_counter()
    build, pixels, chunks, estimated = prepare(task, first=False)
    planned = time.perf_counter() - start
    _reset_peak()
    start, cpu = time.perf_counter(), _cpu()
    stages = build()
    wall, cpu, peak = time.perf_counter() - start, _cpu() - cpu, _peak_mb()
    if task.pixels:
        np.save(task.pixels, pixels())
    mean = {name: sum(record.get(name, 0.0) for record in stages) / chunks for name in (stages[0] if stages else {})}
    return Outcome(task.way, cpu / chunks, wall / chunks, peak, startup, startup_cpu, planned, chunks, mean, estimated)


def main() -> None:
    started = _process_start()
    document = json.load(sys.stdin)
    print(json.dumps(asdict(measure(Task(**document), started))))


def _process_start() -> float:
    """Return the start time of this process, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    main()
