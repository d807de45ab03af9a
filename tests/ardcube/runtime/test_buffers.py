"""Memory of stacks: zeros for every chunk, one chunk at a time, and no more memory than chunks at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from ardcube.runtime import buffers
from ardcube.runtime.buffers import empty_stack

SHAPE = (2, 2, 100, 100)
BYTES = 2 * 2 * 2 * 100 * 100


@pytest.fixture(autouse=True)
def _no_kept_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_kept", [])


@pytest.fixture
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (4, 2, 8, 8)])
def test_a_stack_is_zeros_after_stacks_of_any_size(shape: tuple[int, int, int, int]) -> None:
    for other in [(3, 2, 6, 5), (1, 1, 1, 2), (4, 5, 9, 11)]:
        with empty_stack(other) as stack:
            stack[:] = 65535
        with empty_stack(shape) as stack:
            assert (stack.shape, stack.dtype) == (shape, np.uint16)
            assert not stack.any()


@pytest.mark.usefixtures("_traced")
def test_the_next_chunk_allocates_no_memory() -> None:
    with empty_stack(SHAPE):
        pass
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with empty_stack((2, 1, 100, 100)):
        pass
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < BYTES / 10


@pytest.mark.usefixtures("_traced")
def test_chunks_at_once_share_no_memory_and_keep_one_stack_each() -> None:
    together = Barrier(4, timeout=60)

    def build(number: int) -> bool:
        for _ in range(20):
            with empty_stack(SHAPE) as stack:
                together.wait()
                stack[:] += np.uint16(number)
                together.wait()
                if not (stack == number).all():
                    return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(build, range(1, 5)))
    kept, _ = tracemalloc.get_traced_memory()
    assert kept < 5 * BYTES


@pytest.mark.usefixtures("_traced")
def test_the_memory_of_a_failed_chunk_is_reused() -> None:
    def fail() -> None:
        with empty_stack(SHAPE) as stack:
            stack[:] = 1
            raise RuntimeError("no such scene")

    with pytest.raises(RuntimeError, match="no such scene"):
        fail()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with empty_stack(SHAPE) as stack:
        assert not stack.any()
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < BYTES
