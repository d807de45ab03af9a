"""The memory limit of a worker process holds for workers that differ, and for workers that join later."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from distributed import Client, get_worker

from ardcube.chunk.batch import sharing_memory
from ardcube.extent.grid import Grid
from ardcube.planning.memory import WORKER_BYTES
from ardcube.planning.plan import CubeSpec
from tests.servers.processes import dask_cluster, dask_worker
from tests.strategies import cube_spec

GRID = Grid.from_bounds((15.0, 46.0, 15.1, 46.1), 0.001)
LEAST = 100_000_000
SPEC = replace(cube_spec(GRID), worker_memory=WORKER_BYTES + 6 * LEAST, least_memory=LEAST)
"""A worker has memory for six chunks."""


def memory_of_a_chunk(spec: CubeSpec, _number: int) -> int | None:
    """Return the memory that a chunk gets where this is called."""
    with sharing_memory(spec, get_worker().state.nthreads) as shared:
        return shared.chunk_memory


def test_a_worker_that_joins_later_divides_its_memory_by_its_own_threads(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=1, threads=1) as cluster, Client(cluster.address) as client:
        first = list(client.nthreads())
        assert client.submit(memory_of_a_chunk, SPEC, 0, workers=first).result(60) == 6 * LEAST
        with dask_worker(cluster, "wide", threads=4):
            (wide,) = set(client.nthreads()).difference(first)
            assert client.submit(memory_of_a_chunk, SPEC, 1, workers=[wide]).result(60) == 6 * LEAST // 4
            assert client.submit(memory_of_a_chunk, SPEC, 2, workers=first).result(60) == 6 * LEAST


def test_a_worker_with_too_many_threads_builds_as_many_chunks_at_once_as_have_memory() -> None:
    running, most = 0, 0
    lock, full = threading.Lock(), threading.Event()

    def build() -> None:
        nonlocal running, most
        with sharing_memory(SPEC, 9) as shared:
            assert shared.chunk_memory == LEAST
            with lock:
                running += 1
                most = max(most, running)
                if running == 6:
                    full.set()
            full.wait(30)
            with lock:
                running -= 1

    threads = [threading.Thread(target=build) for _ in range(9)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    assert (running, most) == (0, 6)
