"""Measure the commands that draw or count a cube of very many chunks: objects, bytes, CPU, wall time and memory.

Run `python -m benchmarks.large_pictures FOLDER`. It makes a cube of 100,000 chunks for each layout, unless FOLDER holds
it, and runs each command in a process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.counted_reads import counted_reads
from benchmarks.large_cube import LargeCube, make_cube
from benchmarks.planning import peak_mb

LAYOUTS = {
    "flat": LargeCube(10, 100, 100, 256),
    "sharded": LargeCube(10, 100, 100, 128, shard=2),
    "geozarr": LargeCube(10, 100, 100, 256, layout="geozarr"),
}


def quicklook(uri: str, folder: Path) -> None:
    from ardcube.report.quicklook import write_quicklooks

    write_quicklooks(uri, folder / "quicklook")


def report(uri: str, folder: Path) -> None:
    import ardcube

    ardcube.write_report(uri, folder / "report.html")


def preview(uri: str, folder: Path) -> None:
    """Draw the pictures of a run's page, from records that the run has in memory."""
    from ardcube.ledger.ledger import Ledger
    from ardcube.report.preview import draw_preview
    from ardcube.report.snapshot import CubeSnapshot
    from ardcube.storage.place import Place

    place = Place.at(uri)
    snapshot = CubeSnapshot.take(place, {}, Ledger.of_store(place))
    assert snapshot is not None
    drawn = draw_preview(snapshot)
    assert drawn is not None
    (folder / "preview.svg").write_text(drawn.colours)


def stac(uri: str, folder: Path) -> None:
    import ardcube

    ardcube.stac(uri, folder / "stac")


def status(uri: str, folder: Path) -> None:
    import ardcube

    ardcube.status(uri)


COMMANDS: dict[str, Callable[[str, Path], None]] = {
    one.__name__: one for one in (quicklook, report, preview, stac, status)
}


def measured(name: str, uri: str, folder: Path) -> dict[str, float]:
    """Run a command in this process, and return its counts and figures."""
    start = time.perf_counter()
    with counted_reads() as reads:
        COMMANDS[name](uri, folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "requests": reads.requests,
        "objects": reads.objects,
        "megabytes": reads.bytes / 1e6,
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.perf_counter() - start,
        "peak": peak_mb(os.getpid()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.of:
        print(json.dumps(measured(given.commands[0], given.of, given.folder)))
        return
    table = Table("layout", "command", "requests", "objects", "MB read", "CPU s", "s", "peak MB")
    for layout in given.layouts:
        folder = given.folder / layout
        uri = folder / "cube.zarr"
        if not uri.exists():
            make_cube(folder, LAYOUTS[layout])
        for name in given.commands:
            arguments = [str(folder), "--commands", name, "--of", str(uri)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.large_pictures", *arguments],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            found = json.loads(done.stdout.splitlines()[-1])
            counts = (f"{found[key]:,.0f}" for key in ("requests", "objects", "megabytes"))
            figures = (f"{found[key]:.1f}" for key in ("cpu", "wall"))
            table.add_row(layout, name, *counts, *figures, f"{found['peak']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
