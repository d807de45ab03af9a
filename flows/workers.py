"""The workers of a Dask cluster: slots for batches, and the wait for a worker."""

import time
from typing import Any

from prefect.logging import get_run_logger

from ardcube.config import RunConfig
from ardcube.errors import OutageError
from ardcube.runtime.outages import Outage
from flows.coiled_cluster import coiled_arguments

_LOOK_SECONDS = 5.0
"""Seconds between two looks at the workers of a cluster."""


def count_slots(run: RunConfig, client: Any) -> int:
    """Return the number of batches that workers build at the same time.

    Workers that have yet to start are counted.

    Parameters
    ----------
    run : RunConfig
        Names the backend.
    client : distributed.Client
        Client of the cluster.
    """
    running: int = sum(client.nthreads().values())
    # An adaptive cluster grows with the number of batches that wait: one for each worker that may come is enough.
    if run.serverless_backend != "coiled":
        return max(1, running, run.adapt[1] if run.adapt else run.workers or 0)
    cluster, adapt = coiled_arguments(run)
    threads = cluster["worker_options"].get("nthreads", 1)
    expected: int = adapt["maximum"] if adapt else cluster["n_workers"] * threads
    return max(running, expected)


def wait_for_batch(completed: Any, client: Any, patience: float) -> bool:
    """Wait until a batch completes; return False if no worker is left for that.

    Parameters
    ----------
    completed : distributed.as_completed
        Futures of the batches in flight.
    client : distributed.Client
        Client of the cluster.
    patience : float
        Seconds to wait for a worker while there is none. A cluster may need minutes to start its first worker.
    """
    next_look = time.monotonic() + _LOOK_SECONDS
    while not completed.has_ready():
        with completed.thread_condition:
            completed.thread_condition.wait(timeout=0.1)
        if time.monotonic() >= next_look:
            if not _wait_for_worker(completed, client, patience):
                return False
            next_look = time.monotonic() + _LOOK_SECONDS
    return True


def _wait_for_worker(completed: Any, client: Any, patience: float) -> bool:
    """Wait until the cluster has a worker, or a batch completes; return False if neither happens in time."""
    if client.nthreads():
        return True
    with Outage(client.scheduler.address, patience, "has no worker") as outage:
        while not client.nthreads() and not completed.has_ready():
            try:
                outage.failed("")
            except OutageError as error:
                get_run_logger().error("%s", error)
                return False
        outage.answered()
    return True
