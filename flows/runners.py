"""Which `DaskTaskRunner` a run's chunks go to."""

import os
from typing import Any

from prefect.settings import get_current_settings
from prefect_dask.task_runners import DaskTaskRunner

from ardcube.config import RunConfig

_MAX_COILED_WORKERS = 100
"""Upper end of an adaptive cluster: so many workers read about as fast as a bucket likes."""


def make_runner(run: RunConfig) -> DaskTaskRunner:
    """Runner of a backend: threads of this process, an existing scheduler, or a Coiled cluster."""
    if run.serverless_backend == "dask":
        return DaskTaskRunner(address=run.scheduler_address)
    if run.serverless_backend == "coiled":
        cluster, adapt = coiled_arguments(run)
        # A name, so that coiled is imported only here: it is slow to import and wants an account.
        return DaskTaskRunner(cluster_class="coiled.Cluster", cluster_kwargs=cluster, adapt_kwargs=adapt)
    return DaskTaskRunner(
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={
            "n_workers": 1,
            "threads_per_worker": local_threads(run),
            "processes": False,
            "dashboard_address": None,
            "memory_limit": 0,  # it is this very process; Dask pausing it would stop the flow
        },
    )


def local_threads(run: RunConfig) -> int:
    """Chunks that are built at once in this process."""
    return run.threads or os.cpu_count() or 1


def coiled_arguments(run: RunConfig) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Keyword arguments of `coiled.Cluster`, and of its `adapt` where the size is not fixed."""
    cluster: dict[str, Any] = {
        "name": run.coiled_name,
        "region": run.coiled_region,
        "worker_cpu": run.coiled_worker_cpu,
        "worker_memory": run.coiled_worker_memory,
        "idle_timeout": run.coiled_idle_timeout,
        "n_workers": run.workers or 1,
        "environ": prefect_environment(),
        "worker_options": {"nthreads": run.threads or run.coiled_worker_cpu},
    }
    adapt = None if run.workers else {"minimum": 1, "maximum": _MAX_COILED_WORKERS}
    return cluster, adapt


def prefect_environment() -> dict[str, str]:
    """Variables that let a worker report to this run's Prefect server; without, it would start one of its own."""
    api = get_current_settings().api
    environment = {}
    if api.url:
        environment["PREFECT_API_URL"] = api.url
    if api.key is not None:
        environment["PREFECT_API_KEY"] = api.key.get_secret_value()
    return environment
