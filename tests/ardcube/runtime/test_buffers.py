"""Memory for stacks: zeros whatever stood there before, and lent to one chunk at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from ardcube.runtime import buffers
from ardcube.runtime.buffers import empty_stack


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_kept", [])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (4, 2, 8, 8)])
def test_a_stack_is_zeros_after_others_of_any_size(shape: tuple[int, int, int, int]) -> None:
    for other in [(3, 2, 6, 5), (1, 1, 1, 2), (4, 5, 9, 11)]:
        with empty_stack(other) as stack:
            stack[:] = 65535
        with empty_stack(shape) as stack:
            assert (stack.shape, stack.dtype) == (shape, np.uint16)
            assert not stack.any()


def test_the_next_chunk_gets_the_same_memory() -> None:
    with empty_stack((4, 3, 20, 20)) as first:
        place = first.ctypes.data
    with empty_stack((4, 2, 20, 20)) as second:
        assert second.ctypes.data == place


def test_chunks_at_once_share_nothing_and_no_more_is_kept_than_there_were() -> None:
    together = Barrier(4, timeout=60)

    def build(number: int) -> bool:
        for _ in range(20):
            with empty_stack((2, 2, 10, 10)) as stack:
                together.wait()
                stack[:] += np.uint16(number)
                together.wait()
                if not (stack == number).all():
                    return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(build, range(1, 5)))
    assert len(buffers._kept) == 4


def test_memory_comes_back_from_a_chunk_that_failed() -> None:
    def fail() -> None:
        with empty_stack((1, 1, 4, 4)) as stack:
            stack[:] = 1
            raise RuntimeError("no such scene")

    with pytest.raises(RuntimeError, match="no such scene"):
        fail()
    with empty_stack((1, 1, 4, 4)) as stack:
        assert not stack.any()
    assert len(buffers._kept) == 1
