"""A long build in bad weather: `python -m benchmarks.soak`.

The sample archive lies behind an HTTP server, its items behind a STAC API, the store in S3; of all requests to the
three, `--share` fail at random: answered with 429, 500 or 503, reset, cut short, or applied and never answered. The
cube, about a thousand chunks by default, must equal, value by value, the one that the same command builds from files
on disk without a network, and every chunk must be recorded. Told are the requests, how they failed, and what was done
once more: by the clients themselves, which the program does not see, and by the program, which the ledger keeps.
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
from ardcube.plan.jobs import ChunkKey
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
"""1,134 chunks of the sample archive, all of it and all that is odd about it."""
TINY: dict[str, Any] = {"bbox": (11.96, 46.85, 12.04, 46.89), "end_date": "2023-05-31", "chunk_size": 32}


@dataclass(frozen=True, slots=True)
class Built:
    """A build that has ended."""

    seconds: float
    exit_code: int
    output: str


def build(cube: CubeConfig, run: RunConfig, environment: dict[str, str]) -> Built:
    """Run the installed command."""
    start = time.perf_counter()
    done = jobs.run(["build", *jobs.options(cube, run)], environment, seconds=7200)
    return Built(time.perf_counter() - start, done.returncode, done.stdout + done.stderr)


def differing(one: str, other: str, options: dict[str, Any]) -> dict[str, int]:
    """Values that differ between a local cube and one in S3, by array."""
    here = zarr.open_group(one, mode="r")
    there = zarr.open_group(other, mode="r", storage_options=options)
    assert set(here.array_keys()) == set(there.array_keys())
    return {
        name: int(np.count_nonzero(np.asarray(here[name][...]) != np.asarray(there[name][...])))  # type: ignore[index]
        for name in sorted(here.array_keys())
    }


def attempts(records: dict[ChunkKey, ChunkRecord]) -> dict[str, Any]:
    """What the ledger tells of chunks that were tried more than once."""
    again = [record for record in records.values() if len(record.attempts) > 1]
    reasons = Counter(
        (attempt.error or "").split(":")[0] for record in again for attempt in record.attempts if attempt.error
    )
    return {
        "status": dict(Counter(record.status for record in records.values())),
        "tried again": len(again),
        "most attempts": max((len(record.attempts) for record in records.values()), default=0),
        "errors": dict(reasons),
    }


def soak(folder: Path, area: dict[str, Any], share: float, seed: int) -> dict[str, Any]:
    """Build twice, and compare."""
    archive = folder / "archive"
    write_archive(archive)
    with ExitStack() as stack:
        undisturbed = build(
            CubeConfig(**area, stac_url=str(archive)), RunConfig(fsspec_uri=str(folder / "calm.zarr")), {}
        )
        if undisturbed.exit_code:
            raise RuntimeError(f"the undisturbed build failed: {undisturbed.output}")
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
        records = Ledger.beside(Place.at(s3.uri("soak.zarr"), direct)).records()
        calm = Ledger.beside(Place.at(str(folder / "calm.zarr"))).records()
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
            "seconds": {"calm": round(undisturbed.seconds, 1), "bad weather": round(disturbed.seconds, 1)},
        }


def table(result: dict[str, Any]) -> Table:
    """Requests and how they failed."""
    kinds = sorted({kind for place in result["requests"].values() for kind in place["failed"]})
    shown = Table("to", "requests", "failed", *kinds)
    for place, counts in result["requests"].items():
        failed = counts["failed"]
        shown.add_row(
            place, f"{counts['all']:,}", f"{sum(failed.values()):,}", *(str(failed.get(kind, "")) for kind in kinds)
        )
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 1 where anything differs or is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="some tens of chunks")
    parser.add_argument("--share", type=float, default=0.05, help="of all requests that fail (default: 0.05)")
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
    told, times = result["ledger"], result["seconds"]
    differences = sum(result["differing values"].values())
    console.print(
        f"{result['recorded']} of {result['chunks']} chunks recorded: {told['status']}; {told['tried again']} were "
        f"tried again, at most {told['most attempts']} times: {told['errors'] or 'no error'}\n"
        f"{differences} values differ from the undisturbed cube\n"
        f"{times['bad weather']} s, undisturbed and from disk {times['calm']} s",
        highlight=False,
    )
    right = not result["exit code"] and not differences and result["recorded"] == result["chunks"]
    if not (right and result["same status"]):
        console.print("\n".join(result["output"]), highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
