"""The memory of a worker process, divided among its threads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ardcube.extent.grid import Grid
from ardcube.planning.estimate import share_memory
from ardcube.planning.memory import WORKER_BYTES
from ardcube.planning.plan import CubeSpec
from tests.strategies import cube_spec

GRID = Grid.from_bounds((15.0, 46.0, 15.1, 46.1), 0.001)
LEAST = 100_000_000


def limited(spec: CubeSpec, chunks: float) -> CubeSpec:
    """Return a spec whose workers have memory for so many of the largest chunks."""
    return replace(spec, worker_memory=WORKER_BYTES + int(chunks * LEAST), least_memory=LEAST)


@pytest.mark.parametrize(
    ("chunks", "threads", "at_once"), [(8, 1, 1), (8, 4, 4), (8, 8, 8), (8, 64, 8), (2.5, 4, 2), (0.5, 4, 1)]
)
def test_threads_share_the_memory_and_wait_if_it_is_too_little_for_all(
    chunks: float, threads: int, at_once: int
) -> None:
    spec = limited(cube_spec(GRID), chunks)
    shared, allowed = share_memory(spec, threads)
    assert allowed == at_once
    assert spec.worker_memory is not None
    assert shared.chunk_memory == (spec.worker_memory - WORKER_BYTES) // at_once
    assert replace(shared, chunk_memory=None) == spec


def test_without_a_limit_nothing_is_shared() -> None:
    spec = cube_spec(GRID)
    assert share_memory(spec, 5) == (spec, 5)
