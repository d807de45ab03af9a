"""Measure ardcube and the baseline in one run, and check pixels: `scripts/bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ardcube.runtime.allocator import allocator_environment
from ardcube.runtime.cpus import cpu_count
from benchmarks.archive import CROP, FULL, HLS_TILES, LANDSAT_SCENES, TINY, Archive, Layout, ensure_archive, write_grid
from benchmarks.equality import Agreement, compare_with_baseline, compare_with_oracle
from benchmarks.floor import floor
from benchmarks.measure import COMPOSITES, Outcome, Task
from benchmarks.products import MASK, SENTINEL_2
from benchmarks.server import Server, Traffic, serving
from benchmarks.table import console_table, markdown

ROOT = Path(__file__).resolve().parents[1]
LATENCY = 0.03
"""Seconds of latency per request of a distant store."""
_LIBRARIES = ("numpy", "numba", "rasterio", "odc-stac", "odc-algo", "xarray", "dask", "zarr")


@dataclass(frozen=True, slots=True)
class Case:
    """The parameters of one comparison."""

    masked: bool
    dates: int
    latency: float = 0.0
    layout: Layout = FULL
    more_bands: int = 0
    """Bands in addition to those of the product. They have the files of its bands, at other addresses."""
    own_grid: bool = False
    """Whether the chunk is on the grid of the first granule, in UTM. Otherwise it is in degrees."""

    @property
    def name(self) -> str:
        """The name in the tables."""
        product = self.layout.product
        mask = f"{product.cloud_mask.upper()} mask" if self.masked else "no mask"
        grid = f"{product.name} in UTM, " if self.own_grid else ""
        bands = f", {len(self.layout.product.bands) + self.more_bands} bands" if self.more_bands else ""
        return f"{grid}{mask}, {self.dates} dates{bands}" + (f", {self.latency * 1000:.0f} ms" if self.latency else "")


@dataclass(frozen=True, slots=True)
class Measurement:
    """The outcome of one child process and its traffic."""

    case: str
    outcome: Outcome
    traffic: Traffic


CASES = {
    "scl": Case(masked=True, dates=12),
    "none": Case(masked=False, dates=12),
    "scl-30ms": Case(masked=True, dates=12, latency=LATENCY),
    "none-30ms": Case(masked=False, dates=12, latency=LATENCY),
    "scl-120": Case(masked=True, dates=120),
    "none-120": Case(masked=False, dates=120),
    "scl-60": Case(masked=True, dates=60),
    "bands-10": Case(masked=True, dates=12, more_bands=6),
    "utm": Case(masked=True, dates=12, own_grid=True),
    "hls": Case(masked=True, dates=12, layout=HLS_TILES, own_grid=True),
    "landsat": Case(masked=True, dates=12, layout=LANDSAT_SCENES, own_grid=True),
}
WAYS = (
    "ours", "ours-gdal", "ours-pair", "ours-processes", *COMPOSITES, "baseline", "baseline-geomedian", "load",
    "load-exact",
)  # fmt: skip
BASELINES = {
    "load": "load", "load-exact": "load",
    "ours-geomedian": "baseline-geomedian", "ours-geomedian-mads": "baseline-geomedian",
}  # fmt: skip
"""Way -> its baseline, if that is not `baseline`."""
LOADS = ("load", "load-exact")
"""Ways that hold all scenes in memory."""
DEFAULT_WAYS = ("baseline", "ours", "load", "load-exact")
DEFAULT_CASES = ("scl", "none", "scl-30ms", "scl-120")


def main() -> int:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end and scratch folders go
    layout = CROP if chosen.short else FULL
    data: Path = chosen.data
    archive, tiny = (ensure_archive(data / one.name, one) for one in (layout, TINY))
    print(f"archive {archive.folder}: {archive.bytes / 1e9:.2f} GB", flush=True)
    result: dict[str, Any] = {"machine": machine(), "options": _options(chosen), "measurements": [], "summary": []}
    with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:
        for name in chosen.cases:
            case = CASES[name]
            source = archive if case.layout is FULL else ensure_archive(data / case.layout.name, case.layout)
            bench = _Bench(source, Path(scratch), chosen.threads, chosen.dask_chunk, chosen.requests)
            pairs = 1 if case.dates > layout.dates else chosen.pairs
            measurements = list(bench.compare(case, chosen.ways, pairs))
            result["measurements"] += [asdict(one) for one in measurements]
            result["summary"] += summarize(case, measurements)
        agreements = list(_agreements(archive, Path(scratch), chosen.oracle_pixels))
    result["equality"] = [asdict(one) for one in agreements]
    if not chosen.no_floor:
        result["floor"] = asdict(floor(archive, tiny))
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (chosen.output / "results.md").write_text(markdown(result))
    console_table(result)
    print(f"written to {chosen.output}/results.json and results.md")
    wrong = [one for one in agreements if one.required and not one.holds]
    for one in wrong:
        print(f"PIXELS DIFFER: {one.what}: {one.equal:.6f} equal, largest difference {one.largest} DN", file=sys.stderr)
    return 1 if wrong else 0


@dataclass(slots=True)
class _Bench:
    """Runs child processes against the archive and keeps their first pixels."""

    archive: Archive
    scratch: Path
    threads: int
    dask_chunk: int
    requests: int

    def compare(self, case: Case, ways: Sequence[str], pairs: int) -> Iterator[Measurement]:
        """Measure each way in turn, `pairs` times."""
        if case.dates > self.archive.layout.dates:
            ways = [way for way in ways if way not in LOADS]  # all scenes of 120 dates do not fit into memory
        with serving(self.archive.folder, case.latency) as server:
            folder = self.scratch / case.name.replace(" ", "-")
            later = self.archive.documents(server.url, case.dates)
            catalog = _write_catalog(folder, with_bands(later, case.more_bands, server.url))
            before = self.archive.documents(f"{server.url}/before", self.archive.layout.dates)
            first = _write_catalog(
                self.scratch / f"{folder.name}-first", with_bands(before, case.more_bands, f"{server.url}/before")
            )
            for number in range(pairs):
                for way in ways:
                    yield self._child(case, way, (catalog, first), number, server)

    def _child(self, case: Case, way: str, catalogs: tuple[Path, Path], number: int, server: Server) -> Measurement:
        layout = self.archive.layout
        kind = layout.product.cloud_mask if case.masked else "none"
        pixels = self.scratch / f"{'utm-' if case.own_grid else ''}{kind}-{way}.npy"
        keep = case.dates == layout.dates and not pixels.exists()
        more = case.dates > layout.dates
        # One period contains all dates.
        with tempfile.TemporaryDirectory(prefix="child-", dir=self.scratch) as stores:
            task = Task(
                way=way,
                catalog=str(catalogs[0]),
                first_catalog=str(catalogs[1]),
                bbox=layout.bbox,
                months=("2023-01", "2024-12") if more else ("2023-06", "2023-06"),
                chunk=layout.chunk,
                masked=case.masked,
                threads=self.threads,
                dask_chunk=self.dask_chunk or layout.chunk,
                requests=self.requests,
                job=0,
                scratch=stores,
                pixels=str(pixels) if keep else "",
                product=layout.product.name,
                more_bands=tuple(more_bands(case.more_bands)),
                like=write_grid(self.scratch / f"{layout.name}.tif", layout) if case.own_grid else "",
            )
            server.traffic()
            outcome = run_two(task) if way == "ours-processes" else run_child(task)
        traffic = server.traffic()
        chunks = outcome.chunks
        traffic = Traffic(traffic.requests // chunks, traffic.bytes // chunks, traffic.files, traffic.failures)
        figures = (
            f"CPU {outcome.cpu_seconds:7.2f} s  wall {outcome.wall_seconds:6.2f} s  peak {outcome.peak_mb:5.0f} MB",
            *([f"estimate {outcome.estimate_mb:5.0f} MB"] if outcome.estimate_mb else []),
            f"read {traffic.bytes / 1e6:6.1f} MB  {traffic.requests:5d} requests",
        )
        print(f"{case.name:24} {way:10} {number + 1}: {'  '.join(figures)}", flush=True)
        return Measurement(case.name, outcome, traffic)


def _agreements(archive: Archive, scratch: Path, oracle_pixels: int) -> Iterator[Agreement]:
    """Compare the pixels of ardcube in this run with the baseline, and those in degrees with the oracle."""
    for ours in sorted(scratch.glob("*-ours-geomedian.npy")):
        usual = ours.with_name(ours.name.replace("-ours-", "-baseline-"))
        if usual.exists():
            yield from compare_with_baseline(np.load(ours), np.load(usual), f"{ours.name.split('-')[0]}, geomedian")
    for ours in sorted(scratch.glob("*-ours.npy")):
        what, values = ours.name.removesuffix("-ours.npy"), np.load(ours)
        side = min(oracle_pixels, values.shape[0])
        if side and what in ("scl", "none"):
            yield compare_with_oracle(archive, values[:side, :side], what)
        usual = ours.with_name(f"{what}-baseline.npy")
        if usual.exists() and what != "utm-fmask":
            yield from compare_with_baseline(values, np.load(usual), what)


def run_child(task: Task) -> Outcome:
    """Measure one task in a fresh process.

    Raises
    ------
    RuntimeError
        If it fails; the message contains the end of its output.
    """
    environment = os.environ | {
        "NUMBA_NUM_THREADS": str(task.threads),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # The usual setting for COGs in guides to GDAL; both ways use it.
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "PYTHONPATH": str(ROOT),
    }
    if task.way.startswith("ours"):
        environment |= allocator_environment(task.threads)  # as the image and Coiled set them for workers
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.measure"],
        input=json.dumps(asdict(task)), capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{task.way} failed:\n{done.stderr[-3000:]}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def run_two(task: Task) -> Outcome:
    """Measure two neighbouring chunks in two processes; return the mean per chunk."""
    for job in (0, 1):
        Path(task.scratch, str(job)).mkdir()
    tasks = [replace(task, job=job, scratch=f"{task.scratch}/{job}", pixels="") for job in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run_child, tasks)
    return replace(
        one,
        cpu_seconds=(one.cpu_seconds + other.cpu_seconds) / 2,
        wall_seconds=max(one.wall_seconds, other.wall_seconds) / 2,
        peak_mb=one.peak_mb + other.peak_mb,
        chunks=2,
    )


def more_bands(count: int) -> list[str]:
    """Return the asset keys of further bands."""
    return [f"more{number}" for number in range(count)]


def with_bands(documents: list[dict[str, Any]], count: int, base: str) -> list[dict[str, Any]]:
    """Return items, and the collection, with further bands: the files of the first ones at other addresses.

    Parameters
    ----------
    documents : list of dict
        Items with absolute hrefs; the collection is last.
    count : int
        Number of further bands.
    base : str
        URL of the server, which maps `base/again/<n>/...` to the same files.
    """
    *items, collection = documents
    found = []
    for position, item in enumerate(items):
        assets = dict(item["assets"])
        bands = [assets[key] for key in SENTINEL_2.assets.values() if key != SENTINEL_2.assets[MASK]]
        for number, name in enumerate(more_bands(count)):
            asset = bands[number % len(bands)]
            file = "/".join(asset["href"].split("/")[-2:])
            assets[name] = asset | {"href": f"{base}/again/{1000 * (1 + number) + position}/{file}"}
            assets[name].pop("eo:bands", None)  # whose common name belongs to one band
        found.append(item | {"assets": assets})
    return [*found, collection]


def _write_catalog(folder: Path, documents: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    features = {"type": "FeatureCollection", "features": documents[:-1]}
    (folder / "items.json").write_text(json.dumps(features))
    (folder / "collection.json").write_text(json.dumps(documents[-1]))
    return folder


def summarize(case: Case, measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return the medians of each way, and the ratios of its baseline to them."""
    rows = []
    for way in dict.fromkeys(one.outcome.way for one in measurements):
        mine = [one for one in measurements if one.outcome.way == way]
        stages = {
            name: round(statistics.median(one.outcome.stages.get(name, 0.0) for one in mine), 4)
            for name in mine[0].outcome.stages
        }
        rows.append(
            {
                "case": case.name,
                "way": way,
                "runs": len(mine),
                "cpu_s": statistics.median(one.outcome.cpu_seconds for one in mine),
                "wall_s": statistics.median(one.outcome.wall_seconds for one in mine),
                "peak_mb": statistics.median(one.outcome.peak_mb for one in mine),
                "read_mb": statistics.median(one.traffic.bytes for one in mine) / 1e6,
                "requests": statistics.median(one.traffic.requests for one in mine),
                "failures": sum(one.traffic.failures for one in mine),
                "startup_s": statistics.median(one.outcome.startup_seconds for one in mine),
                "plan_s": statistics.median(one.outcome.plan_seconds for one in mine),
                "stages_s": stages,
            }
        )
    by_way = {row["way"]: row for row in rows}
    for row in rows:
        if row["way"] in COMPOSITES and "ours" in by_way:
            row["medians"] = {name: row[name] / by_way["ours"][name] for name in ("cpu_s", "wall_s", "peak_mb")}
        usual = by_way.get(BASELINES.get(row["way"], "baseline"))
        if usual is None:
            continue
        for name in ("cpu_s", "wall_s", "peak_mb", "read_mb", "requests"):
            row[f"{name}_ratio"] = usual[name] / row[name] if row[name] else float("nan")
    return rows


def machine() -> dict[str, Any]:
    """Return a description of this machine and the versions of libraries."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "cpus": cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(chosen).items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="for CI: small rasters, one pair, no odc-stac alone, no floor, larger part for the oracle",
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, help=f"default: {' '.join(DEFAULT_CASES)}")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help=f"default: {' '.join(DEFAULT_WAYS)}")
    parser.add_argument("--pairs", type=int, help="measurements of each way, in turn (default 3; 120 dates: 1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each way (default %(default)s)")
    parser.add_argument("--requests", type=int, default=16, help="requests in flight of ardcube (default %(default)s)")
    parser.add_argument(
        "--dask-chunk", type=int, default=600,
        help="rows and columns of the baseline's Dask chunks, 0: the whole chunk (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--oracle-pixels", type=int, help="rows and columns that the oracle checks, 0: none")
    parser.add_argument("--no-floor", action="store_true", help="do not measure each step alone")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "bench", help="folder of the archives")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "bench", help="folder of the results")
    chosen = parser.parse_args()
    chosen.ways = chosen.ways or DEFAULT_WAYS[: 2 if chosen.short else None]
    chosen.no_floor = chosen.no_floor or chosen.short
    chosen.cases = chosen.cases or (("scl", "none") if chosen.short else DEFAULT_CASES)
    chosen.pairs = chosen.pairs or (1 if chosen.short else 3)
    if chosen.oracle_pixels is None:
        chosen.oracle_pixels = 300 if chosen.short else 200
    return chosen


if __name__ == "__main__":
    start = time.perf_counter()
    status = main()
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(status)
