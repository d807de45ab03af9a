"""Measure the start of commands: `python -m benchmarks.startup`.

Every command runs several times, each time in a new process. The results are the medians of wall and CPU seconds, and
the number of imported modules. Modules are compiled into a temporary folder first, so that the results do not depend on
compiled modules of the environment; `--plain` uses the environment unchanged.

The stages of a build with a few chunks of the sample archive are measured too: request checked, Prefect and build
modules imported, flow begun on its temporary server, catalogue searched, store ready, first chunk recorded. The build
runs twice, because the first run compiles kernels that no cache contains; the results are those of the second run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ardcube.runtime.cpus import cpu_count

PERIOD = ["--start-date", "2023-05-01", "--end-date", "2023-06-30"]
AREA = ["--bbox", "11.96", "46.85", "12.04", "46.89", "--resolution", "0.0005", "--chunk-size", "48"]


@dataclass(frozen=True, slots=True)
class Start:
    """The cost of one command from its start to its end."""

    name: str
    wall: float
    """Median wall time, in seconds."""
    cpu: float
    """Median CPU time, in seconds."""
    modules: int
    """Number of imported modules."""


def commands(scratch: Path) -> dict[str, list[str]]:
    """Return the arguments of each measured command."""
    archive, taken = scratch / "archive", scratch / "taken"
    taken.mkdir()
    (taken / "file.txt").touch()
    right = [*PERIOD, *AREA, "--stac-url", str(archive)]
    there = ["--fsspec-uri", str(scratch / "cube.zarr")]
    return {
        "ardcube --help": ["--help"],
        "ardcube build --help": ["build", "--help"],
        "an option that is wrong": ["build", *right, *there, "--chunk-size", "3"],
        "a catalogue that is missing": ["build", *right, *there, "--stac-url", str(scratch / "nowhere")],
        "an API that is missing": ["build", *right, *there, "--stac-url", "http://127.0.0.1:9/"],
        "a band that is unknown": ["build", *right, *there, "--bands", "infrared"],
        "a store that is something else": ["build", *right, "--fsspec-uri", str(taken)],
        "ardcube plan": ["plan", *right],
    }


def measure(name: str, words: Sequence[str], times: int, environment: Mapping[str, str]) -> Start:
    """Run one command several times."""
    run(words, environment)  # compiles modules, and fills the page cache
    walls, cpus, modules = zip(*(run(words, environment) for _ in range(times)), strict=True)
    return Start(name, statistics.median(walls), statistics.median(cpus), modules[0])


def run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float, int]:
    """Return wall and CPU seconds of one command, and its number of imported modules."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(f'modules {len(sys.modules)}', file=sys.stderr))\n"
        "from flows.command import main\n"
        "main()"
    )
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 2):
        raise SystemExit(done.stderr)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return wall, cpu, int(done.stderr.splitlines()[-1].split()[1])


# ---- stages of a build ---------------------------------------------------------------------------


Reached = Mapping[str, tuple[float, float, int]]
"""Stage -> wall seconds, CPU seconds of the command's process, and modules, from the start to this stage."""


def first_chunk(scratch: Path, environment: Mapping[str, str]) -> Reached:
    """Return the time of each stage of a build, in its second run."""
    answer: Reached = {}
    for number in range(2):
        store = scratch / f"first-{number}.zarr"
        words = [*PERIOD, *AREA, "--stac-url", str(scratch / "archive"), "--fsspec-uri", str(store)]
        task = ["-W", "ignore", "-m", "benchmarks.startup", "--as-build", str(time.time())]
        command = [sys.executable, *task, "--", "build", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        answer = json.loads(done.stderr.splitlines()[-1])
    return answer


def as_build(started: float, words: Sequence[str]) -> None:
    """Run the command in this process; print the time of each stage to stderr."""
    reached: dict[str, tuple[float, float, int]] = {}

    def reach(name: str) -> None:
        reached.setdefault(name, (time.time() - started, time.process_time(), len(sys.modules)))

    reach("interpreter")
    from ardcube.prepare import check

    check = check.check_request

    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return check(*args, **kwargs)
        finally:
            reach("request checked" if "request checked" not in reached else "flow begun")

    check.check_request = checked
    from flows import console
    from flows.cli import cli

    class TimedProgress(console.ConsoleProgress):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            reach("prefect and what builds imported")

        def searched(self, *args: Any) -> None:
            super().searched(*args)
            reach("catalogue searched")

        def started(self, *args: Any) -> None:
            super().started(*args)
            reach("store ready")

        def ended(self, *args: Any) -> None:
            super().ended(*args)
            reach("first chunk recorded")

    console.ConsoleProgress = TimedProgress  # type: ignore[misc]
    cli.main(list(words), standalone_mode=False)
    reach("end")
    print(json.dumps(reached), file=sys.stderr)


# ---- report --------------------------------------------------------------------------------------


def table(starts: Sequence[Start], stages: Reached) -> str:
    """Return the result as Markdown."""
    lines = ["| command | wall s | CPU s | modules |", "|---|---|---|---|"]
    lines += [f"| {start.name} | {start.wall:.2f} | {start.cpu:.2f} | {start.modules} |" for start in starts]
    if stages:
        lines += ["", "| stage of a build | wall s | CPU s | modules |", "|---|---|---|---|"]
        lines += [f"| {name} | {wall:.2f} | {cpu:.2f} | {modules} |" for name, (wall, cpu, modules) in stages.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="runs of each command")
    parser.add_argument("--plain", action="store_true", help="do not compile modules first")
    parser.add_argument("--no-build", action="store_true", help="leave out the build")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    parser.add_argument("--as-build", type=float, help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.as_build:
        as_build(options.as_build, options.words)
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = dict(os.environ)
        if not options.plain:
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            environment["PYTHONPYCACHEPREFIX"] = str(scratch / "compiled")
        run(["sample", str(scratch / "archive")], environment)
        starts = [measure(name, words, options.times, environment) for name, words in commands(scratch).items()]
        stages: Reached = {} if options.no_build else first_chunk(scratch, environment)
    print(f"load {os.getloadavg()[0]:.1f} on {cpu_count()} CPUs\n\n{table(starts, stages)}")
    if options.output:
        options.output.write_text(
            json.dumps({"commands": [asdict(start) for start in starts], "build": stages}, indent=1)
        )


if __name__ == "__main__":
    main()
