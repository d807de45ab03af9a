"""Requests, bytes and CPU seconds are counted for the chunk that causes them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ardcube.runtime.threads import Threads
from ardcube.runtime.usage import CpuShares, Usage, count_object, count_requests, count_unknown, counting


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
