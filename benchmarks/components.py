"""Which library does each step of a chunk at the least CPU: `python -m benchmarks.components`.

Every way of a step works on the same arrays of real size, which are made here; ways take turns, the best of many short
times counts, and results are compared with the first way, which is what the program does. Libraries that the project
does not require are tried where they are installed, in an environment of their own, and named where they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rasterio
from rich.console import Console
from rich.table import Table

from benchmarks.component_scene import REAL, TINY
from benchmarks.component_steps import Step, Way, steps

NEAR = 5
"""Digital numbers that make no difference to a user."""
_LEAST_TIMES = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Best of several times."""

    step: str
    way: str
    cpu_ms: float
    """Of all threads."""
    rate: str
    ratio: float
    """To the step's first way."""
    equal: float
    """Share of values that are those of the first way."""
    near: float
    """Share of values that differ by at most `NEAR`."""
    largest: float
    """Difference, in digital numbers."""


def installed(way: Way) -> bool:
    """Whether a way can be tried here."""
    try:
        return find_spec(way.module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def measure(step: Step, seconds: float) -> Iterator[Cost]:
    """Time the ways that are installed, in turns, each for some `seconds` of CPU and a few times at least."""
    ways = [way for way in step.ways if installed(way)]
    works = [way.prepare() for way in ways]
    shown = [way.shown(work()).astype(np.float64) for way, work in zip(ways, works, strict=True)]  # and compiled by now
    times: list[list[float]] = [[] for _ in ways]
    while unfinished := [
        position for position, taken in enumerate(times) if len(taken) < _LEAST_TIMES or sum(taken) < seconds
    ]:
        for position in unfinished:
            start = time.process_time()
            works[position]()
            times[position].append(time.process_time() - start)
    for way, result, taken in zip(ways, shown, times, strict=True):
        apart = np.abs(result - shown[0])
        cpu = min(taken)
        rate = f"{step.amount / cpu:.0f} MB/s" if step.unit == "MB" else f"{1000 * cpu / step.amount:.3g} ms/Mpx"
        yield Cost(
            step.name, way.name, 1000 * cpu, rate, cpu / min(times[0]),
            float((apart == 0).mean()), float((apart <= NEAR).mean()), float(apart.max()),
        )  # fmt: skip


def _table(costs: Sequence[Cost]) -> Table:
    table = Table("step", "way", "CPU ms", "rate", "times the first", "equal %", f"within {NEAR} %", "largest")
    last = ""
    for cost in costs:
        table.add_row(
            cost.step if cost.step != last else "", cost.way, f"{cost.cpu_ms:.1f}", cost.rate, f"{cost.ratio:.2f}",
            f"{100 * cost.equal:.4g}", f"{100 * cost.near:.4g}", f"{cost.largest:.0f}",
        )  # fmt: skip
        last = cost.step
    return table


def _versions(modules: set[str]) -> dict[str, str]:
    owners = packages_distributions()
    names = sorted({name for module in modules for name in owners.get(module.split(".")[0], [])})
    return {name: version(name) for name in names} | {"GDAL": rasterio.__gdal_version__}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small arrays, a few times")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU for each way of a step")
    parser.add_argument("--output", type=Path, default=Path("output/bench"), help="folder of components.json")
    chosen = parser.parse_args()
    os.environ["NUMBA_NUM_THREADS"] = "1"  # numbagg would take all cores
    size, seconds = (TINY, 0.0) if chosen.short else (REAL, chosen.seconds)
    costs: list[Cost] = []
    ways: list[Way] = []
    with tempfile.TemporaryDirectory(prefix="ardcube-components-") as folder:
        for step in steps(size, Path(folder)):
            costs += measure(step, seconds)
            ways += step.ways
    missing = sorted({way.module for way in ways if not installed(way)})
    console = Console(width=150)
    console.print(_table(costs))
    if missing:
        console.print(f"not installed, so not tried: {', '.join(missing)}")
    chosen.output.mkdir(parents=True, exist_ok=True)
    result = {
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "versions": _versions({way.module for way in ways if installed(way)}),
        "missing": missing,
        "costs": [asdict(cost) for cost in costs],
    }
    (chosen.output / "components.json").write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {chosen.output}/components.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
