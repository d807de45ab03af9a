"""Estimate one month of South America, and dispatch its chunks: `./scripts/bench --continent`.

The cube has 248,400 x 172,800 pixels of 1/3600 degree, four bands, the cloud mask `scl` and the median. Items are
generated in the form of Earth Search: granules of 110 km on a grid of 100 km over an outline of the land, each on six
dates of the month. The cost is that of `ardcube plan`, from the coefficients that the package contains. All inputs are
printed. The chunks then pass a real Dask scheduler in batches, with work that does nothing.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import shapely
from shapely.geometry import Polygon, box

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.search import Source
from ardcube.chunk.batch import Batch
from ardcube.collections.registry import load_definitions
from ardcube.config import CubeConfig, RunConfig
from ardcube.extent.area import Area
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.ledger import Ledger
from ardcube.pixels.composites.registry import composites_of
from ardcube.pixels.masks import cloud_mask
from ardcube.pixels.quality.registry import NO_QUALITY
from ardcube.planning.cost.coefficients import BYTES_PER_SECOND
from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.plan import CubePlan
from ardcube.prepare.cost import cost_of
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.request import Request
from ardcube.report.cost_rows import estimate_rows
from ardcube.storage.place import Place
from benchmarks.made_up_items import made_up_collection, made_up_item
from benchmarks.planning import peak_mb
from tests.servers import processes

BOUNDS = (-82.0, -56.0, -34.0, 13.0)
RESOLUTION = 1 / 3600
TILE = 1200
LAND = Polygon([
    (-80.0, -3.5), (-77.5, 7.5), (-72.0, 12.0), (-62.0, 10.7), (-51.0, 4.5), (-50.0, 0.5), (-44.0, -2.5), (-35.0, -5.5),
    (-35.0, -9.5), (-39.0, -13.5), (-39.5, -19.0), (-41.5, -22.5), (-48.5, -26.0), (-53.5, -34.0), (-57.5, -38.0),
    (-62.0, -39.0), (-65.0, -43.0), (-66.0, -47.0), (-69.0, -51.0), (-66.5, -55.0), (-74.0, -52.0), (-73.5, -42.0),
    (-71.5, -30.0), (-70.3, -18.5), (-76.2, -13.9), (-81.0, -6.0),
])  # fmt: skip
"""Outline of the land in 26 points, in degrees."""
STEP = 0.9
"""Degrees of latitude between granules; of longitude, as far on the ground."""
DATES = 6
"""Dates of a granule in the month: two satellites that come by every five days."""
SIZES = {"red": 190_000_000, "green": 190_000_000, "blue": 190_000_000, "nir": 200_000_000, "scl": 3_000_000}
"""Bytes of the files of a granule."""


@dataclass(slots=True)
class Continent:
    """A catalogue of generated items."""

    seed: int = 1

    @property
    def collection(self) -> dict[str, Any]:
        """The collection, with the offset of reflectance."""
        return made_up_collection()

    def search(
        self, _bounds: tuple[float, float, float, float], start: datetime, _end: datetime
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a month."""
        random, number = np.random.default_rng(self.seed), 0
        for lon, lat in granules():
            first = random.integers(0, 5)
            for turn in range(DATES):
                moment = start + timedelta(days=int(first) + 5 * turn, hours=14)
                item = made_up_item(self.seed, number, moment, lon, lat, 1.0)
                item["properties"]["eo:cloud_cover"] = round(100 * float(random.beta(0.7, 0.7)), 1)
                for band, size in SIZES.items():
                    item["assets"][band]["file:size"] = size
                number += 1
                yield item


def granules() -> Iterator[tuple[float, float]]:
    """Yield the south-western corners of the granules that meet the land."""
    west, south, east, north = LAND.bounds
    shapely.prepare(LAND)
    for lat in np.arange(south - STEP, north, STEP):
        step = STEP / np.cos(np.radians(min(84.0, abs(lat + STEP / 2))))
        for lon in np.arange(west - step, east, step):
            if LAND.intersects(box(lon, lat, lon + step, lat + STEP)):
                yield float(lon), float(lat)


def make_request(run: RunConfig, place: Place) -> Request:
    """Return the request of the cube."""
    cube = CubeConfig(
        bbox=BOUNDS, start_date=date(2023, 8, 1), end_date=date(2023, 8, 31), resolution=RESOLUTION, chunk_size=TILE,
        cloud_mask="scl", stac_url="https://127.0.0.1:1",
    )  # fmt: skip
    source = Source(cube.collections[0], Continent(), load_definitions(), AccessPolicy(cube.stac_url))  # type: ignore[arg-type]
    return Request(
        cube=cube, run=run, mask=cloud_mask("scl"),
        composites=composites_of(cube.composites, cube.varname, cube.bands), quality=NO_QUALITY,
        area=Area(box(*BOUNDS)), grid=Grid.from_bounds(BOUNDS, RESOLUTION),
        periods=calendar_periods(cube.start_date, cube.end_date, 1)[:1], sources=(source,), place=place,
        ledger=Ledger.of_store(place), stored=None,
    )  # fmt: skip


def estimated(run: RunConfig, place: Place) -> tuple[CubePlan, CostEstimate]:
    """Return the plan and the cost of the cube."""
    request = make_request(run, place)
    plan = make_plan(request, search_scenes(request), build=False)
    return plan, cost_of(run, plan, plan.jobs)


def dispatch(plan: CubePlan, workers: int, threads: int, size: int, folder: Path) -> dict[str, float]:
    """Pass all chunks through a scheduler and its workers in batches; return figures.

    As in a run, twice as many batches as threads are in flight.
    """
    from distributed import Client, as_completed

    with processes.dask_cluster(folder, workers=workers) as cluster, Client(cluster.address) as client:
        scheduler = psutil.Process(cluster.scheduler_pid)
        start, cpu, used = time.perf_counter(), time.process_time(), scheduler.cpu_times()
        jobs, sent, chunks, most = iter(plan.jobs), 0, 0, 0
        count, running = operator.attrgetter("jobs"), as_completed(with_results=True)
        while True:
            while running.count() < 2 * threads and (batch := tuple(islice(jobs, size))):
                running.add(client.submit(count, Batch(plan.spec, batch), pure=False))
                sent += 1
            if not running.count():
                break
            most = max(most, running.count())
            _, done = next(running)
            chunks += len(done)
        now = scheduler.cpu_times()
        return {
            "chunks": chunks, "batches": sent, "most in flight": most, "seconds": time.perf_counter() - start,
            "CPU seconds of the flow": time.process_time() - cpu,
            "CPU seconds of the scheduler": now.user + now.system - used.user - used.system,
            "peak MB of this process": peak_mb(),
            "MB of the scheduler": scheduler.memory_info().rss / 1e6,
        }  # fmt: skip


def main() -> int:
    chosen = _arguments()
    run = RunConfig(
        fsspec_uri="memory://continent", yes=True, serverless_backend="coiled", workers=chosen.workers,
        threads=chosen.threads, price_per_core_hour=chosen.price_per_core_hour, price_per_gb=chosen.price_per_gb,
        price_per_1000_requests=chosen.price_per_1000_requests,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:
        begun = time.process_time()
        plan, cost = estimated(run, Place.at(f"{scratch}/cube.zarr"))
        seconds = time.process_time() - begun
        scenes = [scene for some in plan.scenes.values() for scene in some]
        covers = [scene.cloud_cover for scene in scenes if scene.cloud_cover is not None]
        built = int((plan.jobs.scenes > 0).sum())
        inputs = {
            "grid": str(plan.spec.grid), "tiles": f"{len(plan.jobs):,}, {built:,} with a scene",
            "bands": ", ".join(plan.spec.bands), "mask, composite": "scl, median",
            "granules": f"{len(scenes) // DATES:,} on {DATES} dates: {len(scenes):,} items",
            "scenes read by chunks": f"{int(plan.jobs.scenes.sum()):,}",
            "cloud cover": f"{np.mean(covers):.0f} % on average (beta 0.7, 0.7; seed {Continent().seed})",
            "bytes of files": json.dumps(SIZES),
            "bytes per second and core": f"{BYTES_PER_SECOND / 1e6:.0f} MB at most",
            "prices": f"{run.price_per_core_hour} per core-hour, {run.price_per_gb} per GB, "
            f"{run.price_per_1000_requests} per 1,000 requests",
            "planning": f"{seconds:.1f} CPU s, {peak_mb():.0f} MB",
        }  # fmt: skip
        for name, text in [*inputs.items(), *estimate_rows(cost)]:
            print(f"{name:26} {text}", flush=True)
        result: dict[str, Any] = {"inputs": inputs, "cost": cost.to_document(), "machines": asdict(cost.machines)}
        if not chosen.no_dispatch:
            size = -(-len(plan.jobs) // 1000)
            slots = chosen.workers * chosen.threads
            result["dispatch"] = dispatch(plan, chosen.dask_workers, slots, size, Path(scratch))
            for name, figure in result["dispatch"].items():
                print(f"{name:30} {figure:,.1f}", flush=True)
            print(f"{'load of the machine':30} {os.getloadavg()[0]:.1f}; {datetime.now(UTC):%Y-%m-%d}")
    if chosen.output:
        chosen.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=100, help="workers of the estimate (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default %(default)s)")
    parser.add_argument("--price-per-core-hour", type=float, default=0.04)
    parser.add_argument("--price-per-gb", type=float, default=0.0, help="default %(default)s: in one region")
    parser.add_argument("--price-per-1000-requests", type=float, default=0.0004)
    parser.add_argument("--dask-workers", type=int, default=2, help="processes of the dispatch (default %(default)s)")
    parser.add_argument("--no-dispatch", action="store_true", help="estimate alone")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
