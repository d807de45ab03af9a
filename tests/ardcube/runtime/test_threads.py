"""Thread pools: their sizes, and the limit on threads that compute."""

from __future__ import annotations

import threading

from ardcube.runtime.cpus import cpu_count
from ardcube.runtime.threads import Threads, on_a_core


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
