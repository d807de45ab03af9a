"""The Coiled cluster of a run: its arguments, its growth, and the secrets that its machines get."""

import inspect
import os
from collections.abc import Callable
from typing import Any

from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from ardcube.config import AssetAccess, RunConfig, header_variables
from ardcube.errors import InputError, RunStopsError
from ardcube.redaction import without_secrets
from ardcube.runtime.allocator import allocator_environment
from hooks.clusters import cluster_name

_MOST_WORKERS = 100
"""Workers of an adaptive cluster at most, by default."""
_TARGET_DURATION = "20s"
"""Time in which an adaptive cluster should complete the tasks that wait.

Only a window of tasks waits at a time, so with Coiled's default of 3 minutes the cluster would stay small.
"""
_FIELDS = {
    "name": "coiled-name",
    "region": "coiled-region",
    "worker_cpu": "coiled-worker-cpu",
    "worker_memory": "coiled-worker-memory",
    "idle_timeout": "coiled-idle-timeout",
    "spot_policy": "coiled-spot-policy",
    "container": "coiled-image",
    "n_workers": "workers or adapt",
    "asynchronous": "nothing, because the flow is not asynchronous",
}
"""Options of the run that set an argument."""


def coiled_arguments(run: RunConfig) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the arguments of `coiled.Cluster`, and of `adapt` if it adapts."""
    given = dict(run.cluster_options)
    cluster: dict[str, Any] = {
        "name": cluster_name(run, flow_run.id),
        "region": run.coiled_region,
        "worker_cpu": run.coiled_worker_cpu,
        "worker_memory": run.coiled_worker_memory,
        "idle_timeout": run.coiled_idle_timeout,
        "spot_policy": run.coiled_spot_policy,
        "n_workers": run.workers or (run.adapt[0] if run.adapt else 1),
        "worker_options": {"nthreads": run.threads or run.coiled_worker_cpu},
    }
    if "worker_vm_types" in given:  # they determine CPUs and memory, and Coiled refuses both
        del cluster["worker_cpu"], cluster["worker_memory"]
        cluster["worker_options"] = {"nthreads": run.threads} if run.threads else {}
    if run.coiled_image is not None:  # without an image, Coiled installs the packages of this machine
        # The image's entrypoint is the `ardcube` command.
        cluster |= {"container": run.coiled_image, "ignore_container_entrypoint": True}
    environ = prefect_address() | allocator_environment(run.coiled_worker_cpu) | _mapping(given.pop("environ", {}))
    cluster["worker_options"] |= _mapping(given.pop("worker_options", {}))
    least, most = run.adapt or (1, _MOST_WORKERS)
    adapt = None if run.workers else {"minimum": least, "maximum": most, "target_duration": _TARGET_DURATION}
    return cluster | given | {"environ": environ}, adapt


def check_coiled_options(run: RunConfig) -> None:
    """Raise InputError if `coiled.Cluster` does not take the options of a run."""
    from coiled import Cluster

    accepted = set(inspect.signature(Cluster).parameters)
    for name, value in run.cluster_options.items():
        if name in _FIELDS:
            raise InputError(f"cluster-option {name}: cannot be given; use {_FIELDS[name]}")
        if name not in accepted:
            raise InputError(f"cluster-option {name}: coiled.Cluster has no such argument; see its documentation")
        if name in ("environ", "worker_options") and not isinstance(value, dict):
            raise InputError(f'cluster-option {name}: is not an object; write it as JSON, such as {{"NAME": "value"}}')


def coiled_starter(access: AssetAccess) -> Callable[..., Any]:
    """Return a function that starts a Coiled cluster of given arguments, and sends secrets to its machines.

    Secrets go directly to the scheduler, which sets them on each worker. Arguments would be stored by Coiled.
    """

    def start(**arguments: Any) -> Any:
        from coiled import Cluster  # slow to import, and needs an account

        cluster = Cluster(**arguments)
        try:
            if private := private_environment(access):
                cluster.send_private_envs(private, raise_on_error=True)
        except Exception as error:  # it raises whatever its library does
            cluster.close()
            text = " ".join(without_secrets(f"{type(error).__name__}: {error}").split())
            raise RunStopsError(f"coiled: the cluster takes no secrets ({text}); run again") from error
        return cluster

    start.__module__, start.__qualname__ = "coiled", "Cluster"  # Prefect logs this name
    return start


def private_environment(access: AssetAccess = "unsigned") -> dict[str, str]:
    """Return the secret variables of workers: keys of the Prefect server, tokens that headers contain."""
    api = get_current_settings().api
    environment = {name: os.environ[name] for name in sorted(header_variables(access)) if name in os.environ}
    if api.key is not None:
        environment["PREFECT_API_KEY"] = api.key.get_secret_value()
    if api.auth_string is not None:
        environment["PREFECT_API_AUTH_STRING"] = api.auth_string.get_secret_value()
    return environment


def prefect_address() -> dict[str, str]:
    """Return the variable that lets a worker report to this run's Prefect server."""
    url = get_current_settings().api.url
    return {"PREFECT_API_URL": url} if url else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
