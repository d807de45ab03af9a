"""Compare estimates with counted costs on real scenes: `./scripts/bench --estimates FOLDER`.

FOLDER has the scenes of `$ARDCUBE_REAL_DATA`. A server on this machine serves them over HTTP and counts requests. Each
cube is built in a new process. It is estimated before from coefficients, from a calibration, and from the ledger of
another cube of another area or date.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ardcube
from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.cost.figures import Quantity, Range
from benchmarks.run import ROOT
from tests.oracle.items import read_catalogue
from tests.servers.range_server import RangeServer

GOAL = 0.25
"""Largest error of an estimate, as a share of the counted figure."""
_ESTIMATES: dict[Quantity, str] = {
    "cpu_seconds": "cpu_seconds", "requests": "requests", "received": "bytes_to_read", "stored": "cube_bytes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cube:
    """A cube of real scenes."""

    name: str
    scenes: str
    bbox: tuple[float, float, float, float]
    dates: tuple[str, str]
    resolution: float
    bands: tuple[str, ...]
    cloud_mask: str = "scl"
    chunk_size: int = 100
    like: str = ""
    """Cube whose ledger is the basis."""

    def config(self, catalogue: Path) -> ardcube.CubeConfig:
        """Return the configuration with a catalogue."""
        return ardcube.CubeConfig(
            stac_url=str(catalogue), collection="sentinel-2-l2a", bbox=self.bbox, start_date=self.dates[0],
            end_date=self.dates[1], resolution=self.resolution, bands=self.bands, cloud_mask=self.cloud_mask,
            chunk_size=self.chunk_size,
        )  # fmt: skip


RGBN = ("red", "green", "blue", "nir")
ZAGREB, AUGUST = "zagreb-2023-08", ("2023-08-01", "2023-08-31")
CUBES = (
    Cube("west", ZAGREB, (15.1, 45.9, 15.6, 46.15), AUGUST, 0.0011, RGBN),
    Cube("inn", "inn-2021", (13.08, 48.28, 13.13, 48.32), ("2021-06-01", "2021-09-30"), 0.00011, RGBN, "none"),
    Cube("east", ZAGREB, (15.7, 45.85, 16.4, 46.15), AUGUST, 0.0011, RGBN, like="west"),
    Cube("fine", ZAGREB, (15.7, 45.9, 16.1, 46.1), AUGUST, 0.0007, RGBN, chunk_size=150, like="west"),
    Cube("antwerp", "antwerp-2023q4", (4.2608, 51.3086, 4.2675, 51.3134), ("2023-10-01", "2023-12-31"), 0.0001, RGBN,
         chunk_size=40, like="west"),
    Cube("laos", "laos-2020", (103.73, 17.92, 103.79, 17.96), ("2020-02-01", "2020-02-29"), 0.00011,
         ("red", "swir16"), "none", like="inn"),
    # Estimated for the first time when the model was complete.
    Cube("coarse", ZAGREB, (15.2, 45.85, 16.3, 46.15), AUGUST, 0.002, ("blue", "nir"), chunk_size=120),
    Cube("unmasked", ZAGREB, (15.4, 45.9, 16.0, 46.1), AUGUST, 0.0011, ("red", "green"), "none", 128),
    Cube("inn-30m", "inn-2021", (13.1, 48.27, 13.17, 48.31), ("2021-06-01", "2021-09-30"), 0.0003, ("red", "nir"),
         "none"),
    Cube("laos-40m", "laos-2020", (103.72, 17.91, 103.8, 17.97), ("2020-02-01", "2020-02-29"), 0.0004,
         ("blue", "swir16"), "none", 64),
)  # fmt: skip


def served(server: RangeServer, archive: Path, folder: Path) -> Path:
    """Write a catalogue whose files are at a server."""
    folder.mkdir()
    items, collection = read_catalogue(archive)
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = f"{server.url}/{Path(asset['href']).relative_to(archive)}"
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    (folder / "collection.json").write_text(json.dumps(collection))
    return folder


def compare(cube: Cube, archive: Path, server: RangeServer, scratch: Path, calibrated: int) -> Iterator[dict[str, Any]]:
    """Estimate, build and compare a cube of an archive that is served; yield a row for each basis and quantity."""
    catalogue = served(server, archive, scratch / f"{cube.name}-catalogue")
    config, store = cube.config(catalogue), scratch / f"{cube.name}.zarr"
    bases: dict[str, dict[str, Any]] = {"coefficients": {}}
    if cube.like:
        bases |= {"calibration": {"calibrate": calibrated}, f"ledger of {cube.like}": {
            "like_cube": scratch / f"{cube.like}.zarr"}}  # fmt: skip
    estimates = {name: ardcube.plan(config, threads=1, **options).cost for name, options in bases.items()}
    server.reset()
    counted = build(cube, catalogue, store)
    requests = server.requests
    seen = {"requests": len(requests), "received": sum(request.sent for request in requests)}
    if any(counted[name] != number for name, number in seen.items()):
        raise RuntimeError(f"{cube.name}: the records count {counted}, and the server {seen}")
    for basis, estimate in estimates.items():
        for quantity, name in _ESTIMATES.items():
            yield row(cube, basis, quantity, _figure(estimate, name), counted[quantity])


def _figure(estimate: CostEstimate, name: str) -> Range:
    figure: Range = getattr(estimate, name)
    return figure


def row(cube: Cube, basis: str, quantity: str, expected: Range, counted: float) -> dict[str, Any]:
    """Return the comparison of one figure."""
    error = expected.likely / counted - 1 if counted else 0.0
    return {
        "cube": cube.name, "basis": basis, "quantity": quantity, "low": expected.low, "likely": expected.likely,
        "high": expected.high, "counted": counted, "error": error, "in range": expected.low <= counted <= expected.high,
    }  # fmt: skip


def build(cube: Cube, catalogue: Path, store: Path) -> dict[str, Any]:
    """Build a cube in a new process; return its counted cost."""
    task = {"cube": cube.name, "catalogue": str(catalogue), "store": str(store)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.estimates", "--as-child", "-"],
        input=json.dumps(task), capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    counted: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counted


def as_child(task: dict[str, str]) -> dict[str, Any]:
    """Build a cube in this process."""
    (cube,) = (one for one in CUBES if one.name == task["cube"])
    cost = ardcube.build(cube.config(Path(task["catalogue"])), task["store"], threads=1).cost
    if cost is None:
        raise RuntimeError("nothing was built")
    return {**cost.to_document()["used"], "chunks": cost.chunks}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with `scenes`")
    parser.add_argument("--calibrate", type=int, default=3, help="chunks of a calibration (default %(default)s)")
    parser.add_argument("--output", type=Path, help="file for the rows as JSON")
    parser.add_argument("--as-child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.as_child:
        print(json.dumps(as_child(json.load(sys.stdin))))
        return 0
    rows: list[dict[str, Any]] = []
    print("| cube | basis | figure | estimate (range) | counted | error |\n|---|---|---|---|---|---|")
    # The servers remain, because the files of a similar cube are read too.
    with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch, ExitStack() as servers:
        for cube in CUBES:
            archive = (chosen.folder / "scenes" / cube.scenes).resolve()
            server = servers.enter_context(RangeServer(archive))
            for one in compare(cube, archive, server, Path(scratch), chosen.calibrate):
                rows.append(one)
                span = f"{one['likely']:.4g} ({one['low']:.4g} to {one['high']:.4g})"
                print(f"| {one['cube']} | {one['basis']} | {one['quantity']} | {span} | {one['counted']:.4g} "
                      f"| {one['error']:+.0%} |", flush=True)  # fmt: skip
    within = sum(abs(one["error"]) <= GOAL for one in rows)
    inside = sum(one["in range"] for one in rows)
    print(f"{within} of {len(rows)} estimates are within {GOAL:.0%}, {inside} ranges contain the counted figure")
    if chosen.output:
        chosen.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
