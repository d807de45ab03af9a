"""A substitute for `coiled.Cluster`: its workers are processes of this machine, and end as spot machines do."""

from __future__ import annotations

import inspect
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, ClassVar, cast

import dask.config
from coiled import Cluster
from distributed import LocalCluster, Nanny
from distributed.utils import get_mp_context

_IMPORTED = ("tasks.chunks", "flows.worker_probe", "ardcube.kernels")
"""Modules that a replaced worker has from the start: their import takes seconds of CPU time."""


class SpotCluster(LocalCluster):  # type: ignore[misc]
    """Take only what `coiled.Cluster` takes. A worker that is killed is replaced, as Coiled replaces a spot machine."""

    started: ClassVar[list[SpotCluster]] = []
    """Clusters of this process, the newest last."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = inspect.signature(Cluster).bind(**arguments).arguments
        self.adapted: dict[str, Any] = {}
        self.secrets: dict[str, str] = {}
        forwarded = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}  # as Coiled does
        super().__init__(
            n_workers=arguments["n_workers"],
            threads_per_worker=arguments["worker_options"]["nthreads"],
            processes=True,
            memory_limit=0,
            env=forwarded | arguments["environ"],
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # workers that are lost log tracebacks
        )
        self.started.append(self)

    def adapt(self, **arguments: Any) -> Any:
        """Let Dask adapt the number of workers."""
        self.adapted = inspect.signature(Cluster.adapt).bind(self, **arguments).kwargs
        return super().adapt(**arguments)

    def send_private_envs(self, *arguments: Any, **options: Any) -> None:
        """Keep the secrets that machines would get."""
        self.secrets = inspect.signature(Cluster.send_private_envs).bind(self, *arguments, **options).arguments["env"]

    def lose(self, turn: int, left: int) -> bool:
        """Kill a worker of the scheduler, another one in each turn; return False if too few exist."""
        nannies = cast("list[Nanny]", list(self.workers.values()))
        pids = [pid for nanny in nannies if nanny.worker_address in self.scheduler.workers and (pid := nanny.pid)]
        if len(pids) <= left:
            return False
        try:
            os.kill(pids[turn % len(pids)], signal.SIGKILL)
        except ProcessLookupError:  # it has ended meanwhile
            return False
        return True


@contextmanager
def quick_starts() -> Iterator[None]:
    """Fork the workers of this block from a process that has imported what they need."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", *_IMPORTED])
        yield


@contextmanager
def losses(due: Callable[[int], bool], left: int) -> Iterator[list[int]]:
    """Lose workers of the newest cluster during the block, and yield the list of the turns in which one was lost.

    Parameters
    ----------
    due : callable
        Return whether the next worker is to be lost, after a number of losses. It is asked ten times a second.
    left : int
        Workers that remain. With 0, losses must not depend on time: a slow machine replaces workers later.
    """
    lost: list[int] = []
    stop = Event()

    def watch() -> None:
        while not stop.wait(0.1):
            if SpotCluster.started and due(len(lost)) and SpotCluster.started[-1].lose(len(lost), left):
                lost.append(len(lost))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield lost
    finally:
        stop.set()
        thread.join()
