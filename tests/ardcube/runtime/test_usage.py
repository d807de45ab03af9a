"""Requests, bytes and CPU seconds are counted for the chunk that causes them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ardcube.runtime.threads import Threads
from ardcube.runtime.usage import CpuShares, Usage, count_object, count_requests, count_unknown, counting, merged_ranges


def test_requests_in_the_threads_of_a_process_are_counted_for_their_chunk() -> None:
    def build(requests: int) -> Usage:
        with counting() as usage:
            threads = Threads()
            started = [threads.fetch(count_requests, 1, 10 * requests) for _ in range(requests)]
            started += [threads.decode(count_requests, 1, 0), threads.fetch_and_decode(count_requests, 1, 0)]
            for one in started:
                one.result()
            count_object(7)
        return usage

    with ThreadPoolExecutor(4) as pool:
        for requests, usage in enumerate(pool.map(build, range(40))):
            assert (usage.requests, usage.received) == (requests + 2, 10 * requests**2)
            assert (usage.objects, usage.stored) == (1, 7)


def test_nothing_is_counted_outside_of_a_chunk() -> None:
    with counting() as usage:
        pass
    count_requests(1, 1)
    count_object(1)
    assert usage.requests == usage.objects == 0


def test_unknown_requests_are_missing_and_not_zero() -> None:
    with counting() as usage:
        count_requests(3, 100)
        assert usage.numbers()["requests"] == 3
        assert usage.byte_counts() == {"received": 100, "stored": 0}
        count_unknown()
    assert set(usage.numbers()) == {"cpu_seconds", "objects"}
    assert usage.byte_counts() == {"stored": 0}


def test_cpu_seconds_are_divided_among_the_chunks_in_work() -> None:
    times: Iterator[float] = iter([10.0, 14.0, 20.0, 23.0, 99.0, 100.0])
    shares, first, second, third = CpuShares(lambda: next(times)), Usage(), Usage(), Usage()
    with shares.measured(first), shares.measured(second):
        pass
    with shares.measured(third):
        pass
    assert (first.cpu_seconds, second.cpu_seconds, third.cpu_seconds) == (4 + 3 + 3, 3, 1)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), min_size=1, max_size=12), st.integers(0, 60))
def test_ranges_that_share_a_request_are_merged_as_obstore_does(ranges: list[tuple[int, int]], gap: int) -> None:
    bytes_of_ranges = {byte for start, size in ranges for byte in range(start, start + size)}
    near = {
        byte
        for byte in range(min(bytes_of_ranges), max(bytes_of_ranges))
        if byte not in bytes_of_ranges and _hole(bytes_of_ranges, byte) <= gap
    }
    fetched = sorted(bytes_of_ranges | near)
    runs = 1 + sum(after - before > 1 for before, after in pairwise(fetched))
    requests, received = merged_ranges(*zip(*ranges, strict=True), gap)
    assert received == len(fetched)
    assert requests == runs


def _hole(present: set[int], byte: int) -> int:
    """Return the number of missing bytes around a missing byte."""
    before = max(one for one in present if one < byte)
    after = min(one for one in present if one > byte)
    return after - before - 1
