"""Measure the cost of orchestration: `python -m benchmarks.orchestration`.

Every chunk passes through plan, batch, task run, Dask, worker, pixels, record and server, but has no scene, so that
only the orchestration costs time. Flow, scheduler, workers, and server with database are separate processes and are
measured separately. The cost of a build with eight chunks counts as start-up and is subtracted. All parts are those of
users: the `ardcube` command, a Prefect server, a Dask cluster of two workers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from ardcube.ledger.ledger import RECORDS_PER_FILE, Ledger
from ardcube.storage.place import Place
from benchmarks.empty_cube import options, write_catalogue
from benchmarks.prefect_side import STATES_OF_A_TASK_RUN, Services, latest_flow_run, serving, settled, submitted
from benchmarks.run import machine
from tests.servers import processes

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
LONGEST = 3_600.0
"""Seconds until a command is stopped."""
START_UP = 8
"""Chunks of the build that measures start-up: several for each worker."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cost of one build."""

    database: str
    chunks: int
    task_runs: int
    """Number of task runs that the flow submitted."""
    recorded: Mapping[str, int]
    """Number of task runs at the server, by state."""
    events: int
    """Number of task run events that the server stored."""
    flow_cpu: float
    """Seconds of user and system time, as all `..._cpu`."""
    scheduler_cpu: float
    workers_cpu: float
    server_cpu: float
    """Including the database."""
    wall: float
    flow_mb: float
    """Peak of the resident set in MB, as all `..._mb`."""
    scheduler_mb: float
    worker_mb: float
    server_mb: float
    load: float
    """Load of the machine before the build; CPU seconds grow with it."""

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes."""
        return self.flow_cpu + self.scheduler_cpu + self.workers_cpu + self.server_cpu

    @property
    def lost(self) -> int:
        """Number of task runs that are not completed at the server, and of missing events."""
        completed = self.recorded.get("COMPLETED", 0)
        others = sum(self.recorded.values()) - completed
        return abs(self.task_runs - completed) + others + abs(STATES_OF_A_TASK_RUN * self.task_runs - self.events)


@dataclass(frozen=True, slots=True)
class Resume:
    """The cost of a run that finds all chunks done."""

    database: str
    records: str
    """State of the records: `table` after a finished run, `killed` after a run that was killed at its end, `files` in
    the worst case, with one file per record."""
    chunks: int
    wall: float
    cpu: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Running services, and a folder for cubes."""

    services: Services
    cluster: processes.DaskCluster
    folder: Path

    def build(self, chunks: int, name: str = "") -> Outcome:
        """Build one cube, then count its task runs and events at the server."""
        server = (self.services.server.pid, *self.services.database_pids)
        groups = ((self.cluster.scheduler_pid,), self.cluster.worker_pids, server)
        before = [_cpu(*group) for group in groups]
        load = os.getloadavg()[0]
        place = self.folder / (name or str(chunks))
        wall, flow_cpu, flow_mb = self.run(chunks, place)
        task_runs = submitted(place / "log")
        recorded, events = settled(self.services, latest_flow_run(self.services), task_runs)
        cpu = [_cpu(*group) - start for group, start in zip(groups, before, strict=True)]
        memory = [max(map(_peak_mb, group)) for group in groups]
        records = Ledger.of_store(Place.at(str(place / "cube.zarr"))).records(brief=True)
        if len(records) != chunks or {record.status for record in records.values()} != {"empty"}:
            raise RuntimeError(f"{len(records)} records of {chunks} chunks, see {place}")
        return Outcome(
            self.services.database, chunks, task_runs, recorded, events, flow_cpu, *cpu, wall, flow_mb, *memory, load
        )

    def resume(self, chunks: int) -> Iterator[Resume]:
        """Run a finished build again, with records as large as those with scenes."""
        place = self.folder / str(chunks)
        ledger = Ledger.of_store(Place.at(str(place / "cube.zarr")))
        scenes = tuple(f"S2A_T32TPT_2023{month:02d}10T101234_L2A" for month in range(1, 13))
        stages = dict.fromkeys(("mask_bands", "mask", "bands", "composite", "write"), 1.2345)
        for state in ("files", "table", "killed"):
            if state != "table":
                every = ledger.records().values()
                records = [replace(one, scenes=scenes, seconds=stages) for one in every]
                ledger.place.remove(["ledger.parquet"])
                gathered = RECORDS_PER_FILE * ((chunks - 1) // RECORDS_PER_FILE) if state == "killed" else 0
                for start in range(0, gathered, RECORDS_PER_FILE):
                    ledger.merge(records[start : start + RECORDS_PER_FILE])
                for record in records[gathered:]:
                    ledger.write(record)
            wall, cpu, peak_mb = self.run(chunks, place)
            if f"{chunks} were done before" not in (place / "log").read_text():
                raise RuntimeError(f"not all chunks were found done, see {place / 'log'}")
            yield Resume(self.services.database, state, chunks, wall, cpu, peak_mb)

    def run(self, chunks: int, place: Path) -> tuple[float, float, float]:
        """Run `ardcube build` for a cube of `chunks` chunks."""
        catalogue = write_catalogue(place / "catalogue")
        arguments = options(catalogue, place / "cube.zarr", chunks, self.cluster.address)
        return run_command(["build", *arguments], self.services.environment, place / "log")


def run_command(
    arguments: Sequence[str], env: Mapping[str, str], log: Path, seconds: float = LONGEST
) -> tuple[float, float, float]:
    """Run `ardcube` to its end; return wall seconds, CPU seconds and peak MB.

    Raises
    ------
    RuntimeError
        If it fails, or has not ended after `seconds`.
    """
    start = time.perf_counter()
    peak = 0.0
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "ardcube", *arguments],
            stdout=output, stderr=output, env=processes.environment(env), cwd=ROOT,
        )  # fmt: skip
        # Read while the process runs: the kernel's figure after its end includes the memory of this process.
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, _peak_mb(process.pid))
            if time.perf_counter() - start > seconds:
                process.kill()
                process.wait()
                raise RuntimeError(f"ardcube did not end within {seconds:.0f} s, see {log}")
            time.sleep(0.1)
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"ardcube ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, peak


def _cpu(*roots: int) -> float:
    """Return CPU seconds of processes and their children, including ended ones."""
    total = 0.0
    for root in roots:
        process = psutil.Process(root)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used = one.cpu_times()
                total += used.user + used.system + used.children_user + used.children_system
    return total


def _peak_mb(pid: int) -> float:
    """Return the largest resident set of a process and its children, in MB."""
    process = psutil.Process(pid)
    peaks = [0]
    for one in (process, *process.children(recursive=True)):
        with suppress(OSError):
            lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
            peaks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return max(peaks) / 1024


def per_chunk(outcome: Outcome, start_up: Outcome) -> dict[str, float]:
    """Return milliseconds of CPU per chunk without start-up, by process and in total."""
    chunks = outcome.chunks - start_up.chunks
    names = ("flow_cpu", "scheduler_cpu", "workers_cpu", "server_cpu", "cpu")
    return {name: 1000 * (getattr(outcome, name) - getattr(start_up, name)) / chunks for name in names}


def measure(database: str, counts: Sequence[int], folder: Path, *, resumed: bool) -> dict[str, Any]:
    """Build a cube for each count of chunks on one database; resume the last one."""
    with ExitStack() as stack:
        services = stack.enter_context(serving(database, folder / "server"))
        cluster = stack.enter_context(processes.dask_cluster(folder, workers=WORKERS, env=services.server.environment))
        bench = Bench(services, cluster, folder)
        bench.build(START_UP, "warm")  # imports of the workers
        start_up = bench.build(START_UP, "start")
        rows = []
        for count in counts:
            outcome = bench.build(count)
            row = asdict(outcome) | {"lost": outcome.lost, "ms_per_chunk": per_chunk(outcome, start_up)}
            print(line(row), flush=True)
            rows.append(row)
        resumes = [asdict(one) for one in bench.resume(counts[-1])] if resumed else []
        for one in resumes:
            print(f"{database}: {one['chunks']} done chunks in {one['records']}: {one['wall']:.1f} s, "
                  f"CPU {one['cpu']:.1f} s, {one['peak_mb']:.0f} MB", flush=True)  # fmt: skip
        return {"start_up": asdict(start_up), "builds": rows, "resumes": resumes}


def line(row: Mapping[str, Any]) -> str:
    """Return one line about a build."""
    ms = row["ms_per_chunk"]
    parts = ", ".join(f"{name} {ms[f'{name}_cpu']:.2f}" for name in ("flow", "scheduler", "workers", "server"))
    return (
        f"{row['database']}: {row['chunks']} chunks in {row['task_runs']} task runs, {row['wall']:.0f} s; "
        f"CPU per chunk {ms['cpu']:.2f} ms ({parts}); flow {row['flow_mb']:.0f} MB, "
        f"scheduler {row['scheduler_mb']:.0f}, worker {row['worker_mb']:.0f}, server {row['server_mb']:.0f}; "
        f"{row['lost']} task runs and events lost; load {row['load']:.1f}"
    )


def main() -> int:
    chosen = _arguments()
    # Otherwise every process would compile its imports, which a machine in use does once.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end and scratch folders go
    result: dict[str, Any] = {"machine": machine(), "options": vars(chosen) | {"output": str(chosen.output)}}
    lost = 0
    with tempfile.TemporaryDirectory(prefix="ardcube-bench-") as scratch:
        os.environ.setdefault("PYTHONPYCACHEPREFIX", f"{scratch}/compiled")
        for database in chosen.databases:
            measured = measure(database, chosen.chunks, Path(scratch) / database, resumed=chosen.resume)
            result[database] = measured
            lost += sum(row["lost"] for row in measured["builds"])
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "orchestration.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {chosen.output}/orchestration.json")
    return 1 if lost else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chunks", nargs="+", type=int, default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help="resume the last cube")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "bench", help="folder of the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
