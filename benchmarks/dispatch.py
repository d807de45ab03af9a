"""Measure the memory of a flow that dispatches very many chunks: `python -m benchmarks.dispatch`.

`ardcube build` sends all chunks in batches of 5,000 to two workers of a Dask cluster, which do nothing and return a
record for each chunk. Plan, scheduler, Prefect, merged records and summary are those of a run. The flow's memory is
sampled, so that its growth with the chunks is visible before the end; the run is stopped after `--seconds`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ardcube.ledger.ledger import RECORDS_PER_FILE
from benchmarks.empty_cube import options, write_catalogue
from benchmarks.planning import peak_mb
from benchmarks.resume import ARDCUBE, environment
from tests.servers import processes


@dataclass(frozen=True, slots=True)
class Dispatched:
    """State of a flow when so many chunks had ended."""

    chunks: int
    wall: float
    cpu: float
    """CPU seconds of the flow."""
    mb: float
    """Resident set of the flow."""
    peak_mb: float


def dispatch(folder: Path, chunks: int, seconds: float) -> list[Dispatched]:
    """Run a flow; return its state at the beginning of the dispatch, after every merged file, and at the end."""
    catalogue, env = write_catalogue(folder / "catalogue"), environment(folder)
    preload = {"DASK_DISTRIBUTED__WORKER__PRELOAD": '["benchmarks.no_work"]'}
    states: list[Dispatched] = []
    with processes.dask_cluster(folder, workers=2, env=env | preload) as cluster:
        arguments = options(catalogue, folder / "cube.zarr", chunks, cluster.address)
        command = [ARDCUBE, "build", *arguments, "--batch-size", str(RECORDS_PER_FILE)]
        begun, log = time.perf_counter(), folder / "log"
        with log.open("wb") as output, subprocess.Popen(command, env=env, stdout=output, stderr=output) as flow:
            used, merged, cpu = psutil.Process(flow.pid), folder / "cube.zarr.ardcube" / "chunks", 0.0
            while flow.poll() is None and time.perf_counter() - begun < seconds:
                time.sleep(0.1)
                ended = RECORDS_PER_FILE * len(list(merged.glob("gathered-*.parquet")))
                if (peak := peak_mb(flow.pid)) == 0:
                    continue
                cpu, now = (
                    sum(used.cpu_times()[:2]),
                    used.memory_info().rss / 1024e3,
                )  # as the peak, which the kernel counts in KiB
                state = Dispatched(ended, time.perf_counter() - begun, cpu, now, peak)
                # The last state of each count, since the merge itself takes memory too.
                states = [*(one for one in states if one.chunks != ended), state]
            flow.send_signal(signal.SIGINT)
        if flow.returncode not in (0, 130):
            raise RuntimeError(f"ardcube ended with {flow.returncode}:\n{log.read_text()[-3000:]}")
    return states


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatch", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3_600.0, help="time after which the run is stopped")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:
        states = dispatch(Path(scratch), chosen.chunks, chosen.seconds)
    print("| chunks | wall s | CPU s | MB | peak MB |\n|---|---|---|---|---|")
    for one in states:
        print(f"| {one.chunks:,} | {one.wall:.0f} | {one.cpu:.1f} | {one.mb:.0f} | {one.peak_mb:.0f} |")
    print(f"load {os.getloadavg()[0]:.1f}")
    if chosen.output:
        chosen.output.write_text(json.dumps([asdict(one) for one in states], indent=1))


if __name__ == "__main__":
    main()
