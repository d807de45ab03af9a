"""Build a cube while requests fail at random: `python -m benchmarks.soak`.

An HTTP server serves the sample archive, a STAC API its items, and an S3 server the store. A share of `--share` of all
requests fails: with status 429, 500 or 503, a reset, a truncated body, or an applied request without answer. The cube
has about a thousand chunks by default. It must equal, value by value, the cube that the same command builds from files
without a network, and every chunk must have a record. The output lists requests, failures, and retries of chunks from
the ledger. Retries inside the clients are visible as requests only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from rich.console import Console
from rich.table import Table

from ardcube.config import CubeConfig, RunConfig
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.sample import write_archive
from ardcube.storage.place import Place
from benchmarks.weather import READING, WRITING, Weather, WeatheredEarthSearch, WeatheredProxy
from tests.flows import jobs
from tests.servers import processes
from tests.servers.earth_search import read_catalogue
from tests.servers.range_server import RangeServer

AREA: dict[str, Any] = {
    "bbox": (11.92, 46.828, 12.08, 46.908),
    "start_date": "2023-05-01",
    "end_date": "2023-07-31",
    "resolution": 0.00025,
    "chunk_size": 24,
    "cloud_mask": "scl",
}
"""The complete sample archive with all its irregularities, in 1,134 chunks."""
TINY: dict[str, Any] = {"bbox": (11.96, 46.85, 12.04, 46.89), "end_date": "2023-05-31", "chunk_size": 32}


@dataclass(frozen=True, slots=True)
class Built:
    """The result of a finished build."""

    seconds: float
    exit_code: int
    output: str


def build(cube: CubeConfig, run: RunConfig, environment: dict[str, str]) -> Built:
    """Run `ardcube build`."""
    start = time.perf_counter()
    done = jobs.run(["build", *jobs.options(cube, run)], environment, seconds=7200)
    return Built(time.perf_counter() - start, done.returncode, done.stdout + done.stderr)


def differing(one: str, other: str, options: dict[str, Any]) -> dict[str, int]:
    """Return the number of values that differ between two cubes, by array."""
    here = zarr.open_group(one, mode="r")
    there = zarr.open_group(other, mode="r", storage_options=options)
    assert set(here.array_keys()) == set(there.array_keys())
    return {
        name: int(np.count_nonzero(np.asarray(here[name][...]) != np.asarray(there[name][...])))  # type: ignore[index]
        for name in sorted(here.array_keys())
    }


def attempts(records: dict[ChunkKey, ChunkRecord]) -> dict[str, Any]:
    """Return statistics of chunk attempts from the ledger."""
    again = [record for record in records.values() if len(record.attempts) > 1]
    reasons = Counter(
        (attempt.error or "").split(":")[0] for record in again for attempt in record.attempts if attempt.error
    )
    return {
        "status": dict(Counter(record.status for record in records.values())),
        "retried": len(again),
        "most attempts": max((len(record.attempts) for record in records.values()), default=0),
        "errors": dict(reasons),
    }


def soak(folder: Path, area: dict[str, Any], share: float, seed: int) -> dict[str, Any]:
    """Build without and with faults, and compare."""
    archive = folder / "archive"
    write_archive(archive)
    with ExitStack() as stack:
        undisturbed = build(
            CubeConfig(**area, stac_url=str(archive)), RunConfig(fsspec_uri=str(folder / "calm.zarr")), {}
        )
        if undisturbed.exit_code:
            raise RuntimeError(f"the build without faults failed: {undisturbed.output}")
        weathers = {
            "catalogue": Weather(share, READING, seed),
            "scenes": Weather(share, READING, seed + 1),
            "store": Weather(share, WRITING, seed + 2),
        }
        files = stack.enter_context(RangeServer(archive))
        before_files = stack.enter_context(WeatheredProxy(files.url, weathers["scenes"]))
        collection, items = read_catalogue(archive, before_files.endpoint_url)
        for document in (collection, *items):
            document["links"] = []
        catalogue = stack.enter_context(
            WeatheredEarthSearch(
                [collection | {"links": []}], [item | {"links": []} for item in items], weathers["catalogue"]
            )
        )
        s3 = processes.make_bucket(stack.enter_context(processes.moto_server()))
        before_store = stack.enter_context(WeatheredProxy(s3.endpoint_url, weathers["store"]))
        run = RunConfig(
            fsspec_uri=s3.uri("soak.zarr"),
            storage_options={"endpoint_url": before_store.endpoint_url},
            retries=10,
            retry_delay_seconds=0.5,
        )
        environment = {name: value for name, value in s3.environment.items() if name != "AWS_ENDPOINT_URL"}
        disturbed = build(CubeConfig(**area, stac_url=catalogue.url), run, environment)
        direct = s3.storage_options
        records = Ledger.of_store(Place.at(s3.uri("soak.zarr"), direct)).records()
        calm = Ledger.of_store(Place.at(str(folder / "calm.zarr"))).records()
        return {
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
            "share": share,
            "seed": seed,
            "exit code": disturbed.exit_code,
            "output": disturbed.output.splitlines()[-8:],
            "chunks": len(calm),
            "recorded": len(records),
            "differing values": differing(str(folder / "calm.zarr"), s3.uri("soak.zarr"), direct),
            "same status": all(records[key].status == record.status for key, record in calm.items() if key in records),
            "requests": {
                place: {"all": weather.requests, "failed": dict(sorted(weather.failed.items()))}
                for place, weather in weathers.items()
            },
            "ledger": attempts(records),
            "seconds": {"calm": round(undisturbed.seconds, 1), "faults": round(disturbed.seconds, 1)},
        }


def table(result: dict[str, Any]) -> Table:
    """Return a table of requests and failures."""
    kinds = sorted({kind for place in result["requests"].values() for kind in place["failed"]})
    shown = Table("to", "requests", "failed", *kinds)
    for place, counts in result["requests"].items():
        failed = counts["failed"]
        shown.add_row(
            place, f"{counts['all']:,}", f"{sum(failed.values()):,}", *(str(failed.get(kind, "")) for kind in kinds)
        )
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak test; return 1 if a value differs or a chunk is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a small cube")
    parser.add_argument("--share", type=float, default=0.05, help="share of requests that fail (default: 0.05)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("output/bench"), help="folder of soak.json")
    chosen = parser.parse_args(arguments)
    area = AREA | TINY if chosen.short else AREA
    with tempfile.TemporaryDirectory(prefix="ardcube-soak-") as folder:
        result = soak(Path(folder), area, chosen.share, chosen.seed)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    console = Console(width=120)
    console.print(table(result))
    ledger, times = result["ledger"], result["seconds"]
    differences = sum(result["differing values"].values())
    console.print(
        f"{result['recorded']} of {result['chunks']} chunks recorded: {ledger['status']}; {ledger['retried']} "
        f"retried, at most {ledger['most attempts']} attempts, errors: {ledger['errors'] or 'none'}\n"
        f"{differences} values differ from the cube without faults\n"
        f"{times['faults']} s with faults, {times['calm']} s without faults from local files",
        highlight=False,
    )
    right = not result["exit code"] and not differences and result["recorded"] == result["chunks"]
    if not (right and result["same status"]):
        console.print("\n".join(result["output"]), highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
