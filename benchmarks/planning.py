"""Measure the cost of planning a cube: `python -m benchmarks.planning`.

One process plans a cube of `--chunks` chunks in `--periods` periods over `--items` items with the functions of ardcube.
It searches and parses items, joins them with tiles to jobs, writes manifests, computes the estimate, subtracts finished
chunks (every other one), and iterates over all jobs. A second process measures the first step of a worker: it reads the
manifests of one tile and finds the scenes of its jobs. Finally a STAC API in the form of Earth Search counts requests
for a part of the items.

Items are generated, and are equal for equal options. Their footprints measure 110 km, are cut by a swath edge, and are
anywhere in the cube. Assets, properties and links have the form of Earth Search. The time of the generation is
subtracted. The grid has the default resolution of 1/3600 degree, with tiles of 1200 pixels.

The result of each step is wall seconds, CPU seconds, and the largest resident set of the process until the end of the
step. The table goes to standard output, and JSON to `--output`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shapely.geometry import box

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.search import find_scenes, open_catalog
from ardcube.catalog.source import ItemParser, Source
from ardcube.collections.registry import load_definitions
from ardcube.config import CubeConfig, RunConfig
from ardcube.extent.area import Area
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.manifest import read_manifest
from ardcube.pixels.composites.registry import composites_of
from ardcube.pixels.masks import cloud_mask
from ardcube.pixels.quality.registry import NO_QUALITY
from ardcube.planning.estimate import estimate
from ardcube.planning.plan import CubePlan
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.request import Request
from ardcube.runtime.cpus import cpu_count
from ardcube.storage.place import Place
from benchmarks.made_up_items import MadeUp, made_up_collection, made_up_items

RESOLUTION = 1 / 3600
TILE = 1200
PAGE_ITEMS = 2000
"""Items that the local API serves: several pages in each of several periods."""
START = datetime(2019, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Step:
    """The cost of one step."""

    name: str
    wall: float
    """Wall time, in seconds."""
    cpu: float
    """CPU time, in seconds."""
    peak_mb: float
    """Largest resident set of the process until the end of the step, in MB."""
    detail: str = ""


@dataclass(slots=True)
class Steps:
    """The finished steps, in order."""

    done: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Measure a block, which may set the detail."""
        begun = Step(name, time.perf_counter(), time.process_time(), 0.0)
        yield begun
        self.done.append(
            Step(
                name,
                time.perf_counter() - begun.wall,
                time.process_time() - begun.cpu,
                peak_mb(),
                begun.detail,
            )
        )


def peak_mb(process: int | str = "self") -> float:
    """Return the largest resident set of a process so far, in MB; 0 if the process has ended."""
    # getrusage would include the peak of the parent process.
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return max((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), default=0.0)


def make_request(chunks: int, periods: int, ledger: Place, catalog: Any) -> Request:
    """Return a request for a nearly square cube of at least `chunks` chunks."""
    tiles = math.ceil(chunks / periods)
    cols = math.ceil(math.sqrt(tiles))
    rows = math.ceil(tiles / cols)
    width, height = cols * TILE * RESOLUTION, rows * TILE * RESOLUTION
    if width > 360 or height > 168:
        raise SystemExit(f"{chunks} chunks in {periods} periods do not fit on Earth; give more --periods")
    end = START + timedelta(days=31 * (periods - 1))
    bounds = (-width / 2, -height / 2, width / 2, height / 2)
    cube = CubeConfig(
        bbox=bounds,
        start_date=START.date(),
        end_date=end.date(),
        resolution=RESOLUTION,
        chunk_size=TILE,
        cloud_mask="scl",
        stac_url="https://127.0.0.1:1",
    )
    run = RunConfig(fsspec_uri=ledger.uri, yes=True)
    return Request(
        cube=cube,
        run=run,
        mask=cloud_mask("scl"),
        composites=composites_of(cube.composites, cube.varname, cube.bands),
        quality=NO_QUALITY,
        area=Area(box(*bounds)),
        grid=Grid.from_bounds(bounds, RESOLUTION),
        periods=calendar_periods(cube.start_date, cube.end_date, 1)[:periods],
        sources=(Source(cube.collections[0], catalog, load_definitions(), AccessPolicy(cube.stac_url)),),
        place=ledger,
        ledger=Ledger.of_store(ledger),
        stored=None,
    )


def measure(chunks: int, items: int, periods: int, scratch: Path) -> dict[str, Any]:
    """Plan once, and return the cost of each step."""
    steps = Steps()
    steps.done.append(Step("interpreter and imports", *_since_start(), peak_mb()))
    place = Place.at(str(scratch / "cube.zarr"))
    catalog = MadeUp(items, make_request(chunks, periods, place, None).area.bounds, periods)
    request = make_request(chunks, periods, place, catalog)
    with steps.step("search and parse items"):
        found = search_scenes(request)
    searched = steps.done[-1]
    searched.wall, searched.cpu = searched.wall - catalog.wall, searched.cpu - catalog.cpu
    searched.detail = f"{sum(map(len, found.values())):,} scenes; without the generation of items, {catalog.wall:.1f} s"
    with steps.step("join to jobs, write manifests") as step:
        plan = make_plan(request, found)
        folder = Path(request.ledger.place.path) / "items"
        megabytes = sum(file.stat().st_size for file in folder.glob("*")) / 1e6
        step.detail = f"{len(plan.jobs):,} chunks, manifests of {megabytes:.0f} MB"
    with steps.step("estimate") as step:
        estimated = estimate(plan)
        step.detail = f"{estimated.chunk_scenes / estimated.chunks:.1f} scenes per chunk"
    with steps.step("subtract finished chunks") as step:
        step.detail = f"{_pending(plan):,} left"
    with steps.step("make all jobs, one by one") as step:
        step.detail = f"{sum(job.pixels for job in plan.jobs) / 1e9:,.0f} Gpx"
    planning = sum(step.wall for step in steps.done)
    worker = _worker(plan)
    requests = count_requests(periods)
    return {
        "machine": {
            "python": platform.python_version(),
            "cpus": cpu_count(),
            "load": os.getloadavg()[0],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "options": {"chunks": len(plan.jobs), "items": items, "periods": len(plan.periods)},
        "steps": [asdict(step) for step in steps.done],
        "seconds": planning,
        "peak_mb": steps.done[-1].peak_mb,
        "worker": worker,
        "api": requests,
    }


def _since_start() -> tuple[float, float]:
    """Return wall and CPU seconds since the start of this process."""
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


def _pending(plan: CubePlan) -> int:
    """Return the number of pending chunks after every other chunk is done."""
    return len(plan.jobs.without((job.key, job.inputs) for job in plan.jobs[::2]))


def _worker(plan: CubePlan) -> dict[str, Any]:
    """Run a process that finds the scenes of all periods of the middle tile, twice."""
    periods = len(plan.periods)
    middle = len(plan.jobs) // periods // 2 * periods
    jobs = plan.jobs[middle : middle + periods]
    grid = plan.spec.grid
    areas = [grid.window_bounds(job.window.grow(plan.spec.mask.halo)) for job in jobs]
    task = {
        "ledger": plan.spec.ledger_uri,
        "jobs": [[job.manifest, *area] for job, area in zip(jobs, areas, strict=True)],
    }
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.planning", "--as-worker"]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer.pop("scenes") != [job.scenes for job in jobs]:
        raise SystemExit("the worker found other scenes than the plan")
    return answer


def as_worker(task: dict[str, Any]) -> dict[str, Any]:
    """Find the scenes of jobs twice; return seconds for the first and for all jobs."""
    import shapely

    before = peak_mb()
    seconds: list[float] = []
    counts: list[int] = []
    for _ in range(2):
        for manifest, *area in task["jobs"]:
            begun = time.perf_counter()
            counts.append(len(read_manifest(task["ledger"], manifest).query(shapely.box(*area))))
            seconds.append(time.perf_counter() - begun)
    half = len(task["jobs"])
    return {
        "scenes": counts[:half],
        "first_s": seconds[0],
        "each_s": sum(seconds[:half]) / half,
        "again_s": sum(seconds[half:]) / half,
        "grown_mb": peak_mb() - before,
    }


def count_requests(periods: int, items: int = PAGE_ITEMS) -> dict[str, int]:
    """Search a local STAC API in the form of Earth Search, and count its requests."""
    from tests.servers.earth_search import EarthSearch

    bounds = (0.0, 0.0, 1.0, 1.0)
    periods = min(periods, 4)
    cube = CubeConfig(
        bbox=bounds,
        start_date=START.date(),
        end_date=(START + timedelta(days=31 * (periods - 1))).date(),
        resolution=0.01,
        chunk_size=100,
    )
    months = calendar_periods(cube.start_date, cube.end_date, 1)
    served: list[dict[str, Any]] = []
    for month in months:
        start, end = (datetime(day.year, day.month, 1, tzinfo=UTC) for day in (month.start, month.end))
        served += made_up_items(items // periods, bounds, start, end, seed=month.index)
    with EarthSearch([made_up_collection()], served) as server:
        catalog = open_catalog(server.url, cube.collection)
        before = len(server.requests)
        grid = Grid.from_bounds(bounds, cube.resolution)
        parser, policy = ItemParser(cube.bands, ("scl",)), AccessPolicy(cube.stac_url)
        found = sum(len(find_scenes(catalog, parser, grid, month, policy)) for month in months)
        return {"periods": periods, "items": found, "requests": len(server.requests) - before}


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    options, worker, api = result["options"], result["worker"], result["api"]
    rows = [("step", "wall s", "CPU s", "peak MB", "")]
    rows += [
        (step["name"], f"{step['wall']:.2f}", f"{step['cpu']:.2f}", f"{step['peak_mb']:.0f}", step["detail"])
        for step in result["steps"]
    ]
    cpu = sum(step["cpu"] for step in result["steps"])
    rows.append(("all", f"{result['seconds']:.2f}", f"{cpu:.2f}", f"{result['peak_mb']:.0f}", ""))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|---|---|---|---|")
    machine = result["machine"]
    about = (
        f"{options['chunks']:,} chunks, {options['periods']} periods, {options['items']:,} items; "
        f"Python {machine['python']}, {machine['cpus']} CPUs, load {machine['load']:.1f}"
    )
    remark = (
        f"A worker finds the scenes of the first chunk in {worker['first_s']:.3f} s, of a chunk of the tile in "
        f"{worker['each_s']:.3f} s on average, again in {worker['again_s']:.3f} s; its memory grows by "
        f"{worker['grown_mb']:.0f} MB."
    )
    served = f"A STAC API receives {api['requests']} requests for {api['items']:,} items of {api['periods']} periods."
    return "\n".join([about, "", *lines, "", remark, served])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--periods", type=int, default=12)
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.as_worker:
        print(json.dumps(as_worker(json.load(sys.stdin))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options.chunks, options.items, options.periods, Path(scratch))
    print(table(result))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
