"""Which `DaskTaskRunner` a run's chunks go to."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from ardcube.config import RunConfig
from ardcube.errors import InputError
from hooks.clusters import cluster_name
from hooks.events import report_to

if TYPE_CHECKING:  # it imports all of distributed, which a run that is refused or cancelled does not wait for
    from prefect_dask.task_runners import DaskTaskRunner

_CONNECT_SECONDS = 10.0
_MAX_COILED_WORKERS = 100
"""Upper end of an adaptive cluster: so many workers read about as fast as a bucket likes."""


def make_runner(run: RunConfig) -> "DaskTaskRunner":
    """Runner of a backend: threads of this process, an existing scheduler, or a Coiled cluster."""
    from prefect_dask.task_runners import DaskTaskRunner

    if run.serverless_backend == "dask":
        return DaskTaskRunner(address=run.scheduler_address)
    if run.serverless_backend == "coiled":
        cluster, adapt = coiled_arguments(run)
        # A name, so that coiled is imported only here: it is slow to import and wants an account.
        return DaskTaskRunner(cluster_class="coiled.Cluster", cluster_kwargs=cluster, adapt_kwargs=adapt)
    from flows.local_worker import LocalWorker

    return DaskTaskRunner(
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={
            "n_workers": 1,
            "threads_per_worker": run.local_threads,
            "processes": False,
            "worker_class": LocalWorker,
            # None would open port 8787 on every interface.
            "dashboard_address": "127.0.0.1:0",
            "worker_dashboard_address": "127.0.0.1:0",
            "memory_limit": 0,  # it is this very process; Dask pausing it would stop the flow
        },
    )


def make_lone_runner() -> "DaskTaskRunner":
    """Runner of chunks that may end the process that builds them: one at a time, in one that is not the flow's."""
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
            # Its process may not yet know that the cluster is closed, and would say so on the flow's own stderr.
            "silence_logs": logging.CRITICAL,
            "scheduler_kwargs": {"allowed_failures": 1},
        },
    )


def coiled_arguments(run: RunConfig) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Keyword arguments of `coiled.Cluster`, and of its `adapt` where the size is not fixed."""
    cluster: dict[str, Any] = {
        "name": cluster_name(run, flow_run.id),
        "region": run.coiled_region,
        "worker_cpu": run.coiled_worker_cpu,
        "worker_memory": run.coiled_worker_memory,
        "idle_timeout": run.coiled_idle_timeout,
        "spot_policy": run.coiled_spot_policy,
        "n_workers": run.workers or 1,
        "environ": prefect_environment(),
        "worker_options": {"nthreads": run.threads or run.coiled_worker_cpu},
    }
    if run.coiled_image is not None:  # else Coiled brings the packages of this machine
        # The image's own entrypoint is the `ardcube` command.
        cluster |= {"container": run.coiled_image, "ignore_container_entrypoint": True}
    adapt = None if run.workers else {"minimum": 1, "maximum": _MAX_COILED_WORKERS}
    return cluster, adapt


def check_workers_can_report(run: RunConfig) -> None:
    """Refuse a backend whose workers are elsewhere while Prefect is only here.

    Raises
    ------
    InputError
        Says how to start a server that they reach.
    """
    if run.serverless_backend == "local":
        return
    if run.scheduler_address is not None:
        _check_answers(run.scheduler_address)
    api = get_current_settings().api.url
    elsewhere = run.serverless_backend == "coiled" or not _is_loopback(run.scheduler_address or "")
    if elsewhere and (not api or _is_loopback(api)):
        raise InputError(
            f"serverless-backend {run.serverless_backend} runs on other machines, which cannot report to "
            f"{api or 'the temporary Prefect server of this one'}; set PREFECT_API_URL to a server that they reach"
        )


@contextmanager
def workers_know_the_server(run: RunConfig, *, lone: bool = False) -> Iterator[None]:
    """Let tasks carry the address of this run's Prefect server, also if it is a temporary one.

    A worker that is not told starts a server of its own, which outlives it.

    Parameters
    ----------
    run : RunConfig
        Says where chunks are built: this very process knows already.
    lone : bool
        Whether they are built by `make_lone_runner`.
    """
    if (run.serverless_backend == "local" and not lone) or get_current_settings().api.url:
        yield
        return
    with get_client(sync_client=True) as client:
        url = str(client.api_url)
    with temporary_settings({PREFECT_API_URL: url}):
        yield


def tell_workers_the_server(run: RunConfig, client: Any) -> None:
    """Let the workers of a cluster that stood before report to this run's Prefect server, whichever they served before.

    Parameters
    ----------
    run : RunConfig
        Other workers than those of an existing scheduler start with the run, and know no other server.
    client : distributed.Client
        Of the cluster.
    """
    server = get_current_settings().api.url
    if run.serverless_backend != "dask" or not server:
        return
    told = client.run(report_to, server, on_error="return")
    if failures := {worker: error for worker, error in told.items() if error is not None}:
        get_run_logger().warning("workers may report to another Prefect server: %s", failures)


def _check_answers(address: str) -> None:
    try:
        parts = urlsplit(address)
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler-address {address} does not answer: {error}; start a Dask scheduler there"
        ) from error


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def prefect_environment() -> dict[str, str]:
    """Variables that let a worker report to this run's Prefect server; without, it would start one of its own."""
    api = get_current_settings().api
    environment = {}
    if api.url:
        environment["PREFECT_API_URL"] = api.url
    if api.key is not None:
        environment["PREFECT_API_KEY"] = api.key.get_secret_value()
    if api.auth_string is not None:
        environment["PREFECT_API_AUTH_STRING"] = api.auth_string.get_secret_value()
    return environment
