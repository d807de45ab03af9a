"""Measure a run that continues a cube with very many finished chunks: `python -m benchmarks.resume`.

The cube has no scenes, so that only the orchestration costs time. `ardcube build --limit` creates it. Its ledger is
then filled with records as large as those with scenes, except of the last chunks. `ardcube build` with the temporary
server builds those. The results are wall and CPU seconds of the command and of the server from the start of the command
until the first of these chunks has a record, until the end, and the peak of the command's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import psutil

from ardcube.ledger.ledger import RECORDS_PER_FILE, Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from benchmarks.empty_cube import PERIODS, options, write_catalogue
from benchmarks.planning import peak_mb

ARDCUBE = Path(sys.executable).parent / "ardcube"
MISSING = 20
"""Chunks without a record."""
SCENES = tuple(f"S2A_T32TPT_2023{month:02d}10T101234_L2A" for month in range(1, 13))
LONGEST = 1_800.0
"""Seconds until a command is stopped."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The cost of a run that builds the last chunks of a cube."""

    records: str
    """State of the records: `table` after a finished run, `killed` after a run that was killed at its end."""
    chunks: int
    first_wall: float
    """Seconds from the start of the command until the first chunk is recorded, as all `first_...`."""
    first_cpu: float
    """CPU seconds of the command."""
    first_server: float
    """CPU seconds of the temporary server."""
    first_mb: float
    """Peak of the command's memory."""
    wall: float
    cpu: float
    peak_mb: float


def build_arguments(folder: Path, chunks: int) -> list[str]:
    """Return the arguments of `ardcube build` in the flow's own process."""
    arguments = options(folder / "catalogue", folder / "cube.zarr", chunks, "")
    return ["build", *arguments[: arguments.index("--serverless-backend")], "--threads", "2"]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command with its temporary server and a database in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"PREFECT_HOME": str(folder / "prefect")}


def create_cube(folder: Path, chunks: int) -> list[ChunkRecord]:
    """Create a cube, and return the records of the chunks of its first tile."""
    write_catalogue(folder / "catalogue")
    words = [ARDCUBE, *build_arguments(folder, chunks), "--limit", str(PERIODS)]
    done = subprocess.run(words, env=environment(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ardcube ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return list(Ledger.of_store(Place.at(str(folder / "cube.zarr"))).records().values())


def made_records(first: Sequence[ChunkRecord], chunks: int) -> Iterator[ChunkRecord]:
    """Yield a record of each chunk, as large as one with scenes; chunks of a period have the same inputs."""
    stages = dict.fromkeys(("mask_bands", "mask", "bands", "composite", "write"), 1.2345)
    tiles = chunks // len(first)
    rows = next(rows for rows in range(int(tiles**0.5), 0, -1) if tiles % rows == 0)
    for row in range(rows):
        for col in range(tiles // rows):
            for one in first:
                yield replace(one, key=ChunkKey(one.key.period, row, col), scenes=SCENES, seconds=stages)


def fill_ledger(folder: Path, first: Sequence[ChunkRecord], chunks: int, missing: int, *, compacted: bool) -> None:
    """Write the records of all but the last chunks."""
    ledger = Ledger.of_store(Place.at(str(folder / "cube.zarr")))
    ledger.place.remove(["ledger.parquet"])
    records = islice(made_records(first, chunks), chunks - missing)
    while some := list(islice(records, RECORDS_PER_FILE)):
        ledger.merge(some)
    if compacted:
        ledger.compact()


def resume(folder: Path, chunks: int, state: str) -> Resumed:
    """Build the chunks that have no record."""
    store, log = Ledger.of_store(Place.at(str(folder / "cube.zarr"))).place.path, folder / "log"
    begun = time.perf_counter()
    first: tuple[float, float, float, float] | None = None
    peak = 0.0
    with log.open("wb") as output:
        process = subprocess.Popen(
            [ARDCUBE, *build_arguments(folder, chunks)], env=environment(folder), stdout=output, stderr=output
        )
        used = psutil.Process(process.pid)
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, peak_mb(process.pid))
            if first is None and any(Path(store, "chunks").glob("*/*.json")):
                times, servers = used.cpu_times(), [child.cpu_times() for child in used.children()]
                served = sum(one.user + one.system for one in servers)
                first = time.perf_counter() - begun, times.user + times.system, served, peak
            if time.perf_counter() - begun > LONGEST:
                process.kill()
                raise RuntimeError(f"ardcube did not end within {LONGEST:.0f} s, see {log}")
            time.sleep(0.05)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode or first is None:
        raise RuntimeError(f"ardcube ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return Resumed(state, chunks, *first, wall, ended[2].ru_utime + ended[2].ru_stime, peak)


def line(one: Resumed) -> str:
    """Return one line about a run."""
    return (
        f"{one.chunks} chunks, {one.records}: first chunk after {one.first_wall:.1f} s, CPU {one.first_cpu:.1f} s and "
        f"server {one.first_server:.1f} s, {one.first_mb:.0f} MB; end after {one.wall:.1f} s, CPU {one.cpu:.1f} s with "
        f"server, {one.peak_mb:.0f} MB; load {os.getloadavg()[0]:.1f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--chunks", type=int, default=100_000, help="multiple of 10")
    parser.add_argument("--missing", type=int, default=MISSING, help="chunks without a record")
    parser.add_argument("--states", nargs="+", choices=("table", "killed"), default=["table", "killed"])
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:
        folder = Path(scratch)
        first = create_cube(folder, options.chunks)
        for state in options.states:
            fill_ledger(folder, first, options.chunks, options.missing, compacted=state == "table")
            results.append(resume(folder, options.chunks, state))
            print(line(results[-1]), flush=True)
    if options.output:
        options.output.write_text(json.dumps([asdict(one) for one in results], indent=1))


if __name__ == "__main__":
    main()
