"""Batch sizes: every chunk is submitted once, in few task runs, and workers stay busy."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ardcube.planning.batch_size import LARGEST, SECONDS, BatchSizes
from tests.strategies import FEW

TASK_RUN = 0.15
"""Seconds that a task run takes in addition to its chunks."""


@dataclass(frozen=True, slots=True)
class Built:
    """The batches of a simulated run."""

    batches: tuple[int, ...]
    ideal: float
    """Seconds if the work were divided exactly and task runs took no time."""
    seconds: float
    most_in_flight: int


def build(chunks: int, slots: int, each: float, fixed: int | None = None) -> Built:
    """Play a run: batches go to the worker that is free first."""
    sizes = BatchSizes(chunks, fixed)
    free = [0.0] * slots
    flying: list[tuple[float, int]] = []
    batches: list[int] = []
    now, most = 0.0, 0
    while sizes.left or flying:
        while sizes.left and len(flying) < sizes.in_flight(slots):
            batches.append(sizes.next(slots))
            end = max(heapq.heappop(free), now) + batches[-1] * each + TASK_RUN
            heapq.heappush(free, end)
            heapq.heappush(flying, (end, batches[-1]))
        most = max(most, len(flying))
        now, size = heapq.heappop(flying)
        sizes.took(size, size * each)
    return Built(tuple(batches), chunks * each / slots, now, most)


@FEW
@given(
    chunks=st.integers(0, 300) | st.integers(0, 30_000) | st.just(100_000),
    slots=st.integers(1, 400),
    each=st.floats(0.0, 100),
    fixed=st.none() | st.integers(1, 5_000),
)
@example(chunks=1_000_000, slots=400, each=60.0, fixed=None)
def test_every_chunk_is_sent_once_and_a_flow_has_about_a_thousand_task_runs(
    chunks: int, slots: int, each: float, fixed: int | None
) -> None:
    built = build(chunks, slots, each, fixed)
    assert sum(built.batches) == chunks
    assert all(built.batches)
    assert built.most_in_flight <= max(8, 1.25 * slots + 3)
    if fixed is not None:
        assert set(built.batches[:-1]) <= {fixed}
    else:
        assert len(built.batches) <= 1_000 + 1.5 * slots


@pytest.mark.parametrize("chunks", [1_000, 10_000, 100_000])
@pytest.mark.parametrize("slots", [2, 16, 100])
@pytest.mark.parametrize("each", [5.0, 60.0])
def test_workers_are_busy_to_the_end(chunks: int, slots: int, each: float) -> None:
    built = build(chunks, slots, each)
    assert built.seconds < 1.04 * built.ideal


@pytest.mark.parametrize(("chunks", "most"), [(24, 4), (200, 5), (201, 5), (1_000, 15), (10_000, 30), (100_000, 60)])
def test_chunks_that_take_no_time_go_in_few_task_runs(chunks: int, most: int) -> None:
    built = build(chunks, 2, 0.003)
    assert len(built.batches) <= most
    assert max(built.batches) <= LARGEST


@pytest.mark.parametrize("slots", [1, 2])
def test_workers_share_few_chunks_that_take_seconds(slots: int) -> None:
    built = build(24, slots, 5.0)
    assert built.batches[:slots] == (1,) * slots
    assert len(built.batches) < 24
    assert built.seconds < built.ideal + 3 * 5.0


def test_a_batch_has_at_most_half_a_minute_of_work() -> None:
    assert max(build(2_000, 4, 5.0).batches) * 5.0 <= SECONDS


def test_sizes_follow_chunks_that_get_slower() -> None:
    sizes = BatchSizes(10_000)
    sizes.took(100, 10.0)
    assert sizes.next(4) == SECONDS / 0.1
    for _ in range(20):
        sizes.took(10, 30.0)
    assert sizes.next(4) == 10_000 // 666  # 10 would be 30 s, but there would be too many of them


def test_a_limit_of_batches_in_flight_holds_from_the_first_batch_to_the_last() -> None:
    sizes = BatchSizes(6, 1, 3)
    assert sizes.in_flight(2) == 3
    assert BatchSizes(6, 1).in_flight(2) == 8
