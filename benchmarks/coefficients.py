"""Measure the coefficients of the cost of chunks and write them: `./scripts/bench --coefficients`.

Each case builds chunks of several sizes in a new process, from an archive that nginx serves, and takes the counted
figures of their records. A non-negative least-squares fit of these figures to the work of the chunks gives the
coefficients of one collection, composite and resolution, which go to the data file of `ardcube.planning.cost`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ardcube.planning.cost.coefficients import FILE, Coefficients
from ardcube.planning.cost.figures import QUANTITIES, Used
from ardcube.planning.cost.work import Work
from ardcube.runtime.cpus import cpu_count
from benchmarks.archive import FULL, HLS_TILES, LANDSAT_SCENES, Archive, ensure_archive, write_grid
from benchmarks.products import SENTINEL_2
from benchmarks.run import ROOT
from benchmarks.server import serving

TARGET = ROOT / "ardcube" / "planning" / "cost" / FILE
_DATA = ((0, 6144, 4096, 8192), (0, 6144, 0, 4096))
"""Rows and columns of the two granules of Sentinel-2 that hold data: the blocks under the western chunk."""
FEW = replace(
    FULL, name="few", dates=3, chunks_across=1,
    granules=(replace(FULL.granules[0], data=_DATA[0]), replace(FULL.granules[1], data=_DATA[1])),
)  # fmt: skip
"""Granules of Sentinel-2 of full size on three dates, whose files are used again for more dates."""
DATES = 12
LAYOUTS = {
    "sentinel-2-c1-l2a": FEW,
    "hls-s30": HLS_TILES,
    "landsat-c2-l2": replace(LANDSAT_SCENES, name="landsat-few", dates=3),
}
"""Archive by definition."""
COMPOSITES = ("median", "geomedian", "medoid", "percentile:25")


@dataclass(frozen=True, slots=True)
class Case:
    """Chunks that one process builds."""

    definition: str
    composite: str = "median"
    masked: bool = True
    sizes: tuple[tuple[int, int], ...] = ((600, 2), (1200, 1), (300, 3), (150, 3))
    """Side of a chunk in pixels, and number of chunks. The first chunk is not counted."""
    resolution: float = 0.0
    """Degrees; 0 for the grid of the granule, or for 1/3600 degree with Sentinel-2."""


CASES = (
    *(Case(name) for name in LAYOUTS),
    *(Case(name, masked=False) for name in LAYOUTS),
    *(Case("sentinel-2-c1-l2a", composite, sizes=((600, 2), (1200, 1))) for composite in COMPOSITES[1:]),
    *(
        Case("sentinel-2-c1-l2a", masked=masked, sizes=((100, 6), (200, 2), (300, 1)), resolution=0.001)
        for masked in (True, False)
    ),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The work of a chunk and its counted figures."""

    case: Case
    work: Work
    used: Used
    metres: float
    first: bool = False
    """Whether it was the first chunk of its process."""


def measure(case: Case, archive: Archive, scratch: Path) -> list[Measurement]:
    """Build the chunks of a case in a new process."""
    with serving(archive.folder) as server:
        for number in range(len(case.sizes)):
            folder = scratch / str(number)
            folder.mkdir(parents=True)
            documents = archive.documents(server.url, DATES)
            items = documents[:-1]
            (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
            (folder / "collection.json").write_text(json.dumps(documents[-1]))
            if archive.layout.product != SENTINEL_2:
                write_grid(folder / "like.tif", archive.layout)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.coefficients", "--as-child"],
            input=json.dumps({"case": asdict(case), "layout": archive.layout.name, "scratch": str(scratch)}),
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{case} failed:\n{done.stderr[-3000:]}")
    return [
        Measurement(case, Work(**row["work"]), Used(**row["used"]), row["metres"], row["first"])
        for row in json.loads(done.stdout.splitlines()[-1])
    ]


def as_child(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Build the chunks of a case; return their work and figures."""
    from ardcube.chunk.batch import process_batch
    from ardcube.config import CubeConfig, RunConfig
    from ardcube.ledger.run_costs import used_by
    from ardcube.planning.cost.estimate import with_scenes
    from ardcube.planning.cost.work import WorkModel
    from ardcube.prepare.check import check_request
    from ardcube.prepare.initialize import initialize
    from ardcube.prepare.make_plan import make_plan, search_scenes

    case = Case(**task["case"])
    layout, rows = LAYOUTS[case.definition], list[dict[str, Any]]()
    product, seen = layout.product, set[str]()
    for number, (size, count) in enumerate(case.sizes):
        folder = Path(task["scratch"]) / str(number)
        grid = {"bbox": layout.bbox, "resolution": case.resolution or 1 / 3600}
        cube = CubeConfig(
            start_date="2023-01-01", end_date="2023-12-31", time_frequency_months=12, chunk_size=size,
            bands=product.bands, composites=(case.composite,), collection=product.collection, stac_url=str(folder),
            cloud_mask=product.cloud_mask if case.masked else "none",
            **({"like": str(folder / "like.tif")} if product != SENTINEL_2 else grid),
        )  # fmt: skip
        run = RunConfig(fsspec_uri=str(folder / "cube.zarr"), threads=1)
        request = check_request(cube, run)
        scenes = search_scenes(request)
        plan = make_plan(request, scenes)
        initialize(request, plan)
        model = WorkModel.of(plan.spec, [one for some in scenes.values() for one in some], "likely", layout.block)
        for job in list(plan.jobs)[: count + (not rows)]:
            ((window, met),) = with_scenes(plan.spec, scenes, [(job.key.period, job.window)])
            files = {asset.href for scene in met for asset in scene.bands.values()}
            work, new = model.of_chunk(window, met), len(files - seen)
            share = new / max(1.0, work.opened)
            headers = {"header_requests": share * work.header_requests, "header_bytes": share * work.header_bytes}
            work = replace(work, opened=new, **headers)
            seen |= files
            (record,) = process_batch(plan.spec, [job])
            used = used_by(record)
            rows.append(
                {"work": asdict(work), "used": asdict(used), "metres": plan.spec.grid.metres, "first": not rows}
            )
    return rows


def fit(measured: Sequence[Measurement], block: int) -> Coefficients:
    """Return the coefficients that explain the figures of chunks best."""
    from scipy.optimize import nnls

    case = measured[0].case
    observed = sum(one.work.observed for one in measured)
    others = [one for one in measured if not one.first]
    cpu = _column(others, "cpu_seconds")
    table = np.array(
        [
            [
                one.work.fetches,
                ((one.used.received or 0) - one.work.header_bytes) / 1e6,
                (one.work.clear + one.work.output / 2) / 1e6,
            ]
            for one in others
        ]
    )
    weights = 1 / np.maximum(cpu, 0.02)  # relative errors count
    fetch, megabyte, mpx = nnls(table * weights[:, None], cpu * weights)[0]
    found = Coefficients(
        definition=case.definition, composite=case.composite.partition(":")[0], metres=measured[0].metres, block=block,
        cpu_per_process=0.0, cpu_per_fetch=fetch, cpu_per_mb=megabyte, cpu_per_mpx=mpx,
        stored_share=float(_column(measured, "stored").sum() / observed),
    )  # fmt: skip
    firsts = [
        (one.used.cpu_seconds or 0.0) - (found.predict(one.work).cpu_seconds or 0.0) for one in measured if one.first
    ]
    return replace(found, cpu_per_process=max(0.0, float(np.median(firsts))))


def _column(measured: Sequence[Measurement], quantity: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    figures = [one.used.get(quantity) for one in measured]
    if None in figures:
        raise ValueError(f"{quantity} was not counted")
    return np.array(figures, float)


def errors(measured: Sequence[Measurement], found: Coefficients) -> dict[str, float]:
    """Return the error of the fit: the sum of all chunks that it predicts, divided by the counted one, minus 1."""
    others = [one for one in measured if not one.first]
    predicted = [found.predict(one.work) for one in others]
    return {
        name: round(sum(one.get(name) or 0.0 for one in predicted) / _column(others, name).sum() - 1, 3)
        for name in QUANTITIES
    }


def grouped(measured: Sequence[Measurement]) -> Iterator[list[Measurement]]:
    """Yield the measurements of each row of the data file: with and without mask together."""
    keys = dict.fromkeys((one.case.definition, one.case.composite, one.case.resolution) for one in measured)
    for key in keys:
        yield [one for one in measured if (one.case.definition, one.case.composite, one.case.resolution) == key]


def main() -> int:
    chosen = _arguments()
    if chosen.as_child:
        print(json.dumps(as_child(json.load(sys.stdin))))
        return 0
    measured: list[Measurement] = []
    for name, composite in dict.fromkeys((case.definition, case.composite) for case in CASES):
        archive = ensure_archive(chosen.data / LAYOUTS[name].name, LAYOUTS[name])
        with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:  # the first process compiles kernels
            measure(Case(name, composite, sizes=((150, 0),)), archive, Path(scratch))
    for case in CASES[: 1 if chosen.short else None]:
        layout = LAYOUTS[case.definition]
        archive = ensure_archive(chosen.data / layout.name, layout)
        with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:
            measured += measure(case, archive, Path(scratch))
        print(f"{case}: {sum(one.used.cpu_seconds or 0 for one in measured if one.case == case):.1f} CPU s", flush=True)
    rows = []
    for group in grouped(measured):
        found = fit(group, LAYOUTS[group[0].case.definition].block)
        rows.append(found.to_document())
        print(found, errors(group, found), flush=True)
    about = {
        "command": "./scripts/bench --coefficients",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": cpu_count(),
        "load": round(os.getloadavg()[0]),
        "python": platform.python_version(),
    }
    chosen.output.write_text(json.dumps({"measured": about, "rows": rows}, indent=1) + "\n")
    print(f"written to {chosen.output}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "bench", help="folder of the archives")
    parser.add_argument("--output", type=Path, default=TARGET, help="data file (default: that of the package)")
    parser.add_argument("--short", action="store_true", help="the first case alone")
    parser.add_argument("--as-child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
