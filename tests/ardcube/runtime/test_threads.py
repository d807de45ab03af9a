"""Thread pools: their sizes, and the limit on threads that compute."""

from __future__ import annotations

import threading

import pytest

from ardcube.runtime.cpus import cpu_count
from ardcube.runtime.threads import Threads, in_free_threads, on_a_core
from ardcube.runtime.usage import count_requests, counting


def test_chunks_share_the_thread_pools() -> None:
    few = Threads(requests=3, decoders=2)
    barrier = threading.Barrier(3)
    names = set()

    def meet() -> str:
        barrier.wait(30)  # three requests are in flight at once, or this breaks
        return threading.current_thread().name

    for _ in range(2):
        again = Threads(requests=3, decoders=2)
        names |= {future.result() for future in [again.fetch(meet) for _ in range(3)]}
    assert len(names) == 3
    assert all(name.startswith("ardcube-request") for name in names)
    assert few.decode(lambda: threading.current_thread().name).result().startswith("ardcube-decode")


def test_reading_and_decoding_uses_two_threads_per_decoder_up_to_the_number_of_requests() -> None:
    for threads_of, expected in ((Threads(requests=16, decoders=2), 4), (Threads(requests=3, decoders=2), 3)):
        barrier = threading.Barrier(expected)

        def meet(barrier: threading.Barrier = barrier) -> str:
            barrier.wait(30)
            return threading.current_thread().name

        twice = [threads_of.fetch_and_decode(meet) for _ in range(2 * expected)]
        assert len({future.result() for future in twice}) == expected


def test_at_most_one_thread_per_core_computes() -> None:
    cores = cpu_count()
    running, most = 0, 0
    lock, full = threading.Lock(), threading.Event()

    @on_a_core
    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == cores:
                full.set()
        full.wait(30)
        with lock:
            running -= 1

    many = [threading.Thread(target=work) for _ in range(cores + 3)]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join(60)
    assert most == cores


def test_free_threads_of_a_pool_share_the_work_of_a_caller() -> None:
    barrier = threading.Barrier(5)

    def meet(item: int) -> int:
        barrier.wait(30)  # five items are in work at once, or this breaks
        count_requests(1, item)
        return -item

    with counting() as usage:
        assert Threads(requests=5).fetch(in_free_threads, meet, range(5)).result() == [0, -1, -2, -3, -4]
    assert (usage.requests, usage.received) == (5, 10)


def test_callers_that_occupy_the_whole_pool_do_their_work_themselves() -> None:
    pool, barrier = Threads(requests=4), threading.Barrier(4)
    lock, running, most = threading.Lock(), 0, 0

    def work(item: int) -> tuple[int, str]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if item == 0:
            barrier.wait(30)  # every thread of the pool is a caller now
        with lock:
            running -= 1
        return item, threading.current_thread().name

    callers = [pool.fetch(in_free_threads, work, range(6)) for _ in range(8)]
    results = [caller.result(60) for caller in callers]
    assert all([item for item, _ in result] == list(range(6)) for result in results)
    assert len({name for result in results for _, name in result}) == most == 4


def test_outside_of_a_pool_the_caller_does_all_work() -> None:
    own = threading.current_thread().name
    assert in_free_threads(lambda _: threading.current_thread().name, range(3)) == [own] * 3
    assert in_free_threads(lambda item: item, []) == []


def test_the_first_failed_item_names_the_error_and_no_further_one_is_begun() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item >= 1:
            raise ValueError(f"item {item}")
        return item

    with pytest.raises(ValueError, match="item 1"):
        Threads(requests=1).fetch(in_free_threads, work, range(4)).result()
    assert begun == [0, 1]
