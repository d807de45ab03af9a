"""The Dask task runners: local threads, a running cluster, a class of cluster, Coiled, a separate process."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from ardcube.config import AssetAccess, RunConfig
from flows.cluster_classes import cluster_arguments, create_cluster, unreachable
from flows.coiled_cluster import coiled_arguments, coiled_starter
from flows.dashboard_line import hide_unusable_dashboard
from flows.scheduler_security import use_loader
from flows.started_workers import check_started_workers
from hooks.events import report_to

if TYPE_CHECKING:  # prefect_dask imports all of distributed, which a run that is refused or cancelled never needs
    from prefect_dask.task_runners import DaskTaskRunner

StartRunner = Callable[[], "DaskTaskRunner"]


@contextmanager
def start_runner(run: RunConfig, access: AssetAccess = "unsigned") -> "Iterator[DaskTaskRunner]":
    """Start the run's runner, with workers that report to its Prefect server and may read files."""
    hide_unusable_dashboard()
    with server_address_for_workers(run.serverless_backend != "local"), make_runner(run, access) as runner:
        client = _connect(run, runner)
        connect_workers_to_server(run, client)
        if run.cluster_class is not None:
            check_started_workers(run, client)
        yield runner


@contextmanager
def started_once(run: RunConfig, access: AssetAccess = "unsigned") -> Iterator[StartRunner]:
    """Yield a function that returns the run's runner, started at its first call; it ends with the block."""
    with ExitStack() as stack:
        yield cache(lambda: stack.enter_context(start_runner(run, access)))


@contextmanager
def start_isolated_runner() -> "Iterator[DaskTaskRunner]":
    """Start the runner of a separate process, for chunks that may kill it."""
    hide_unusable_dashboard()
    with server_address_for_workers(True), make_isolated_runner() as runner:
        yield runner


def make_runner(run: RunConfig, access: AssetAccess = "unsigned") -> "DaskTaskRunner":
    """Return the runner of a backend: local threads, a scheduler, a class of cluster, or Coiled."""
    from prefect_dask.task_runners import DaskTaskRunner

    if run.cluster_class is not None:
        return _make_cluster_runner(run, run.cluster_class)
    if run.serverless_backend == "dask":
        use_loader()
        return DaskTaskRunner(address=run.scheduler_address)
    if run.serverless_backend == "coiled":
        cluster, adapt = coiled_arguments(run)
        return DaskTaskRunner(cluster_class=coiled_starter(access), cluster_kwargs=cluster, adapt_kwargs=adapt)
    from flows.local_worker import LocalWorker

    return DaskTaskRunner(
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={
            "n_workers": 1,
            "threads_per_worker": run.local_threads,
            "processes": False,
            "worker_class": LocalWorker,
            # The default, None, would open port 8787 on every interface.
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": "127.0.0.1:0",
            "memory_limit": 0,  # Dask would pause the worker, which is the flow's own process
        },
    )


def _make_cluster_runner(run: RunConfig, name: str) -> "DaskTaskRunner":
    """Return the runner of a cluster that the run creates."""
    from prefect_dask.task_runners import DaskTaskRunner

    def start(**arguments: Any) -> Any:
        return create_cluster(name, arguments, run.workers)

    start.__module__, _, start.__qualname__ = name.rpartition(".")  # Prefect logs this name
    adapt = None if run.adapt is None else {"minimum": run.adapt[0], "maximum": run.adapt[1]}
    return DaskTaskRunner(cluster_class=start, cluster_kwargs=cluster_arguments(run), adapt_kwargs=adapt)


def _connect(run: RunConfig, runner: "DaskTaskRunner") -> Any:
    """Return the client of a runner, which creates the cluster of a class.

    Raises
    ------
    RunStopsError
        If the cluster does not start, or its scheduler does not answer.
    """
    try:
        return runner.client
    except OSError as error:
        if run.cluster_class is None:
            raise
        raise unreachable(run.cluster_class, error) from error


def make_isolated_runner() -> "DaskTaskRunner":
    """Return the runner of one worker process with one thread."""
    from prefect_dask.task_runners import DaskTaskRunner

    return DaskTaskRunner(
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={
            "n_workers": 1,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": "127.0.0.1:0",
            "memory_limit": 0,
            # The process may miss that the cluster is closed, and would log a traceback to the flow's stderr.
            "silence_logs": logging.CRITICAL,
            "scheduler_kwargs": {"allowed_failures": 1},
        },
    )


@contextmanager
def server_address_for_workers(are_processes: bool) -> Iterator[None]:
    """Put the address of this run's Prefect server into the settings of tasks.

    Otherwise a worker process starts another temporary server, which outlives the run.

    Parameters
    ----------
    are_processes : bool
        Whether workers are processes. Threads of this process have the address already.
    """
    if not are_processes or get_current_settings().api.url:
        yield
        return
    with get_client(sync_client=True) as client:
        url = str(client.api_url)
    with temporary_settings({PREFECT_API_URL: url}):
        yield


def connect_workers_to_server(run: RunConfig, client: Any) -> None:
    """Connect the workers of an existing cluster to this run's Prefect server.

    They may have served another server before.

    Parameters
    ----------
    run : RunConfig
        Names the backend. Workers of the other backends start with the run and know no other server.
    client : distributed.Client
        Client of the cluster.
    """
    server = get_current_settings().api.url
    if run.scheduler_address is None or not server:
        return
    answers = client.run(report_to, server, on_error="return")
    if failures := {worker: error for worker, error in answers.items() if error is not None}:
        get_run_logger().warning("workers may report to another Prefect server: %s", failures)
