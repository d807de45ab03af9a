"""Count what one chunk reads, by cause: `python -m benchmarks.reading`.

A chunk of the benchmark archive is built from a web server. Its log gives each request; the files give the positions of
their blocks; and the chunk itself, observed while it runs, gives the pixels that it needs of each block.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import ardcube.chunk.fill
import ardcube.chunk.own_grid
from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import OpenCube
from ardcube.config import CubeConfig, RunConfig
from ardcube.pixels.bitmask import unpacked
from ardcube.pixels.projection import Projection
from ardcube.pixels.resample import needed_blocks
from ardcube.planning.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.raster.cog import Cog
from ardcube.raster.header import Blocks, Level
from ardcube.raster.known_headers import KNOWN_HEADERS
from ardcube.raster.open import _open
from benchmarks.archive import CROP, FULL, Archive, ensure_archive
from benchmarks.causes import Block, Range, Sums, attribute, table
from benchmarks.products import MASK, SENTINEL_2
from benchmarks.server import Server, serving

ROOT = Path(__file__).resolve().parents[1]
_Use = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Shares of the pixels of each block that are inside of a chunk, and that are used (row, column of blocks)."""


@dataclass(slots=True)
class Observer:
    """Collects the blocks that chunks need of each file."""

    needed: dict[str, dict[tuple[int, int, int], Block]] = field(default_factory=lambda: defaultdict(dict))
    """By address of the file, then by level, row and column of the block."""
    _shares: dict[int, tuple[Blocks, _Use]] = field(default_factory=dict)
    """By identity of the needed blocks, which are kept so that identities stay unique."""

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Observe the chunks that are built meanwhile."""
        fetch = Cog.fetch

        def chosen(projection: Projection, wanted: Any, level: Level, *args: Any) -> Blocks | None:
            blocks = needed_blocks(projection, wanted, level, *args)
            if blocks is not None:
                self._shares[id(blocks)] = blocks, shares(projection, wanted, level)
            return blocks

        def fetched(cog: Cog, blocks: Blocks) -> Any:
            self._note(cog, blocks)
            return fetch(cog, blocks)

        with (
            mock.patch.object(ardcube.chunk.fill, "needed_blocks", chosen),
            mock.patch.object(ardcube.chunk.own_grid, "needed_blocks", chosen),
            mock.patch.object(Cog, "fetch", fetched),
        ):
            yield

    def _note(self, cog: Cog, blocks: Blocks) -> None:
        layout, known = cog.layout[blocks.level.index], self._shares.get(id(blocks))
        if known is None:
            return
        inside, used = known[1]
        for row, column in blocks.indices:
            at = row, column
            block = Block(int(layout.offsets[at]), int(layout.sizes[at]), float(inside[at]), float(used[at]))
            if block.size:
                self.needed[cog.href].setdefault((blocks.level.index, *at), block)


def shares(projection: Projection, wanted: Any, level: Level) -> _Use:
    """Return the shares of the pixels of each block under a window, and under its wanted pixels."""
    rows, columns = projection.nearest_pixels(level)
    here = (rows < level.height) & (columns < level.width)
    (height, width), grid = level.block, level.block_grid
    block = (rows[here].astype(np.int64) // height) * grid[1] + columns[here].astype(np.int64) // width
    step = projection.coordinates()
    area = step.step_x[here] * step.step_y[here] / abs(level.transform.a * level.transform.e) / (height * width)
    is_wanted = unpacked(wanted, here.shape[1])[here]
    inside = np.bincount(block, area, grid[0] * grid[1])
    used = np.bincount(block[is_wanted], area[is_wanted], grid[0] * grid[1])
    inside = np.minimum(inside, 1.0).reshape(grid)
    return inside, np.minimum(used.reshape(grid), inside)


def measure(
    archive: Archive,
    server: Server,
    scratch: Path,
    jobs: int = 1,
    *,
    known: bool = False,
    dates: int | None = None,
    **options: Any,
) -> dict[str, Sums]:
    """Build the first chunks of a cube, and return their requests by kind: headers, mask, bands.

    Parameters
    ----------
    archive : Archive
        Archive that the server serves.
    server : Server
        A running server.
    scratch : Path
        Empty folder.
    jobs : int
        Chunks to build.
    known : bool
        Whether the chunks were built before, by another process that stored the headers.
    dates : int, optional
        Dates of the only period, if not those of the archive.
    options
        Further fields of the cube's configuration.
    """
    catalog = scratch / "catalog"
    catalog.mkdir()
    *items, collection = archive.documents(server.url, dates)
    (catalog / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    (catalog / "collection.json").write_text(json.dumps(collection))
    cube = CubeConfig(
        **_months(dates), bbox=archive.layout.bbox, chunk_size=archive.layout.chunk,
        bands=SENTINEL_2.bands, collection=SENTINEL_2.collection, stac_url=str(catalog), **options,
    )  # fmt: skip
    request = check_request(cube, RunConfig(fsspec_uri=str(scratch / "cube.zarr")))
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    if known:
        _build(plan, "first", jobs)
        _open.cache_clear()
        KNOWN_HEADERS.clear()
    observer = Observer()
    server.requests()  # those of the search
    with observer.observing():
        _build(plan, "measured", jobs)
    return by_kind(archive.folder, server, observer)


def _months(dates: int | None) -> dict[str, Any]:
    """Return the options of one period; more dates than the archive has are every five days from January on."""
    if dates is None:
        return {"start_date": "2023-06-01", "end_date": "2023-06-01"}
    return {"start_date": "2023-01-01", "end_date": "2023-12-01", "time_frequency_months": 12}


def _build(plan: CubePlan, inputs: str, jobs: int) -> None:
    """Build the first chunks of a plan as a new process does, also chunks that were built from other inputs."""
    cube = OpenCube(plan.spec)
    for job in plan.jobs[:jobs]:
        process_chunk(cube, replace(job, inputs=inputs))


def by_kind(folder: Path, server: Server, observer: Observer) -> dict[str, Sums]:
    """Attribute the requests that a server logged."""
    ranges: dict[str, list[Range]] = defaultdict(list)
    for request in server.requests():
        ranges[request.path].append(Range(request.start, request.bytes))
    mask = SENTINEL_2.files[SENTINEL_2.assets[MASK]]
    sums = {"headers": Sums(), "mask": Sums(), "bands": Sums()}
    for path, requested in ranges.items():
        file = Cog.open(f"{folder}{re.sub(r'^/again/[0-9]+', '', path)}")
        header_end = min(int(level.offsets[level.sizes > 0].min()) for level in file.layout)
        blocks = list(observer.needed[f"{server.url}{path}"].values())
        headers, pixels = attribute(requested, header_end, blocks)
        kind = "mask" if Path(path).stem == mask else "bands"
        sums["headers"] += headers
        sums[kind] += pixels
    return sums


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the small archive")
    parser.add_argument("--jobs", type=int, default=1, help="neighbouring chunks (default %(default)s)")
    parser.add_argument("--dates", type=int, help="dates of the period (default: 12)")
    parser.add_argument("--masks", nargs="+", default=("scl", "none"), help="cloud masks (default: scl none)")
    parser.add_argument("--known-headers", action="store_true", help="measure chunks whose headers were stored before")
    parser.add_argument("--option", action="append", default=[], help="option of the cube, such as max_scenes=6")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "bench", help="folder of the archives")
    chosen = parser.parse_args(arguments)
    layout = CROP if chosen.short else FULL
    archive = ensure_archive(chosen.data / layout.name, layout)
    options = {name: json.loads(value) for name, value in (text.split("=", 1) for text in chosen.option)}
    for mask in chosen.masks:
        with serving(archive.folder) as server, tempfile.TemporaryDirectory(prefix="ardcube-reading-") as scratch:
            options["cloud_mask"] = mask
            sums = measure(
                archive, server, Path(scratch), chosen.jobs, known=chosen.known_headers, dates=chosen.dates, **options
            )
        print(table(f"mask {mask}", sums), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
