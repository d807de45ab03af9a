"""Measure versions of a cube against a plain store: `python -m benchmarks.versions`.

Chunks of 64 x 64 random pixels are written in batches, as workers write them, and each batch is committed. Nothing else
is measured, so that scenes do not hide the cost of icechunk.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ardcube.config.store import StorageBackend
from ardcube.extent.grid import Grid
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.session_place import SessionPlace
from ardcube.store.transaction import Fork, transaction_of
from ardcube.store.versions import for_reading, for_writing
from ardcube.store.writer import CubeStore
from tests.ardcube.small_cube import BANDS, periods_until
from tests.strategies import cube_spec

SIZE = 64
"""Rows and columns of a chunk."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one way to write a cube."""

    backend: StorageBackend
    chunks: int
    commits: int
    chunk_ms: float
    """To write a chunk, with its part of a fork and a merge."""
    commit_ms: float
    """Mean of all commits."""
    last_commit_ms: float
    publish_ms: float
    mb: float
    """Of all files."""
    files: int


def measure(folder: Path, backend: StorageBackend, chunks: int, batch: int) -> Cost:
    """Write a cube of so many chunks, and commit each batch."""
    side = (math.isqrt(chunks - 1) + 1) * SIZE * 10.0
    grid = Grid.from_bounds((500_000, 5_000_000, 500_000 + side, 5_000_000 + side), 10.0, "EPSG:32633")
    place = Place.at(str(folder))
    spec = cube_spec(grid, place.uri, bands=BANDS, periods=1)
    store = for_writing(place, backend)
    schema.create(store, spec, periods_until(1), SIZE)
    transaction = transaction_of(store)
    if transaction is not None:
        transaction.commit("create the store")
    pixels = np.random.default_rng(1).integers(1, 10_000, (SIZE, SIZE, len(BANDS)), np.uint16)
    tiles, writing, commits, publishing = list(grid.tiles(SIZE))[:chunks], 0.0, [], 0.0
    for first in range(0, chunks, batch):
        some, start = tiles[first : first + batch], time.perf_counter()
        fork = None if transaction is None else Fork(transaction.fork())
        cube = CubeStore.open(spec, None, None if fork is None else SessionPlace.of(place, fork))
        for tile in some:
            cube.write_chunk(0, tile.window, pixels, pixels[..., 0])
        if transaction is not None and fork is not None:
            transaction.merge(fork.changes(), len(some))
        writing += time.perf_counter() - start
        if transaction is not None:
            start = time.perf_counter()
            transaction.commit("build chunks")
            commits.append(time.perf_counter() - start)
    if transaction is not None:
        start = time.perf_counter()
        schema.update_attributes(store, {"version": "v1"})
        transaction.publish("publish", {})
        publishing = time.perf_counter() - start
    assert schema.exists(for_reading(place, backend))
    files = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return Cost(
        backend=backend,
        chunks=chunks,
        commits=len(commits),
        chunk_ms=1e3 * writing / chunks,
        commit_ms=1e3 * sum(commits) / max(1, len(commits)),
        last_commit_ms=1e3 * (commits[-1] if commits else 0.0),
        publish_ms=1e3 * publishing,
        mb=sum(files) / 1e6,
        files=len(files),
    )


def main() -> None:
    """Print the costs as lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--batch", type=int, nargs="+", default=[100, 100_000], help="Chunks of a commit.")
    options = parser.parse_args()
    for chunks in options.chunks:
        for backend, batches in (("fsspec", [chunks]), ("icechunk", options.batch)):
            for batch in batches:
                with tempfile.TemporaryDirectory() as folder:
                    print(json.dumps(asdict(measure(Path(folder), backend, chunks, batch))))


if __name__ == "__main__":
    main()
