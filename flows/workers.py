"""The workers of a Dask cluster: slots for batches, and the wait for a worker."""

import time
from typing import Any

from prefect.logging import get_run_logger

from ardcube.config import RunConfig
from flows.runners import coiled_arguments

NO_WORKER_SECONDS = 900.0
"""Seconds without any worker until a run stops. A cluster may need minutes to bring its first worker."""
_LOOK_SECONDS = 10.0
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
    if run.serverless_backend != "coiled":
        return max(1, running)
    cluster, adapt = coiled_arguments(run)
    # An adaptive cluster grows with the number of batches that wait: one for each worker that may come is enough.
    expected: int = adapt["maximum"] if adapt else cluster["n_workers"] * cluster["worker_options"]["nthreads"]
    return max(running, expected)


def chunks_per_worker(run: RunConfig, client: Any) -> int:
    """Return the number of threads of the largest worker."""
    threads = list(client.nthreads().values())
    if run.serverless_backend == "coiled":
        threads.append(coiled_arguments(run)[0]["worker_options"]["nthreads"])
    return max(threads, default=1)


def wait_for_batch(completed: Any, client: Any) -> bool:
    """Wait until a batch completes; return False if no worker is left for that.

    Parameters
    ----------
    completed : distributed.as_completed
        Futures of the batches in flight.
    client : distributed.Client
        Client of the cluster.
    """
    last_seen = last_look = time.monotonic()
    while not completed.has_ready():
        with completed.thread_condition:
            completed.thread_condition.wait(timeout=0.1)
        now = time.monotonic()
        if now - last_look < _LOOK_SECONDS:
            continue
        last_look = now
        if client.nthreads():
            last_seen = now
        elif now - last_seen > NO_WORKER_SECONDS:
            get_run_logger().error("no worker for %.0f minutes; the run stops", NO_WORKER_SECONDS / 60)
            return False
        else:
            get_run_logger().warning("the cluster has no worker; waiting for one")
    return True
