"""Call a function for many jobs in threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def call_in_threads(
    call: Callable[[Job], Result],
    jobs: Iterable[Job],
    threads: int,
    check: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield the result of each job, in the order in which the jobs end.

    The first error ends the iteration. Then, and after an interrupt, no further job begins, and those in flight are
    waited for.

    Parameters
    ----------
    call : callable
        Function that is called with each job.
    jobs : iterable
        Jobs, taken one by one as threads become free.
    threads : int
        Jobs in flight at most.
    check : callable, optional
        Called before each job begins; an error that it raises ends the iteration.
    stop : callable, optional
        Called at the end, before jobs in flight are waited for, so that they may end early.
    """
    waiting = iter(jobs)
    in_flight: set[Future[Result]] = set()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ardcube-chunk")
    try:
        while True:
            for job in waiting:
                check()
                in_flight.add(pool.submit(call, job))
                if len(in_flight) == threads:
                    break
            if not in_flight:
                return
            done, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop()
        pool.shutdown(wait=True, cancel_futures=True)
