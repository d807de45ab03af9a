"""The class of the Dask cluster that a run creates: its arguments, and how many workers it gets.

Names come from an allowed list (`ardcube.config.form_schema.allowed_clusters`). Arguments are compared with the
signatures of the installed class before anything is written or rented.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ardcube.config import RunConfig
from ardcube.errors import InputError, RunStopsError
from ardcube.redaction import without_secrets

LOCAL = "distributed.LocalCluster"
SSH = "distributed.SSHCluster"
GATEWAY = "dask_gateway.GatewayCluster"
_PACKAGES = {"dask_gateway": "dask-gateway", "dask_kubernetes": "dask-kubernetes", "dask_jobqueue": "dask-jobqueue"}
"""Names to install, by module."""
_SET_BY_FIELDS = {"asynchronous": "nothing, because the flow is not asynchronous", "n_workers": "workers or adapt"}
"""Arguments that options of the run set."""
_FIXED = (SSH,)
"""Classes whose arguments name each worker."""


def find_class(name: str) -> Callable[..., Any]:
    """Import an allowed class.

    Raises
    ------
    InputError
        If its package is not installed, or has no such class.
    """
    module, _, attribute = name.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise InputError(f"cluster-class {name}: {error}; install what its package needs") from error
        raise InputError(
            f"cluster-class {name} is not installed; install {_PACKAGES.get(package, package)} where the flow runs"
        ) from None
    except (AttributeError, ImportError) as error:
        raise InputError(f"cluster-class {name}: {error}; install a version that has it") from None
    return found


def check_class(run: RunConfig) -> None:
    """Raise InputError if the class of a run is not installed, or does not take the run's arguments."""
    name = run.cluster_class or ""
    kind = find_class(name)
    for argument, remedy in _SET_BY_FIELDS.items():
        if argument in run.cluster_options:
            raise InputError(f"cluster-option {argument}: cannot be given; use {remedy}")
    accepted = _arguments(kind, name)
    if accepted is not None and (unknown := [key for key in run.cluster_options if key not in accepted]):
        raise InputError(
            f"cluster-option {unknown[0]}: {name} has no such argument; it has "
            f"{', '.join(sorted(key for key in accepted if not key.startswith('_')))}"
        )
    try:
        inspect.signature(kind).bind(**run.cluster_options)
    except TypeError as error:
        raise InputError(f"cluster-class {name}: {error}; give it as cluster-option NAME=VALUE") from None
    _check_workers(run, name)
    if name == GATEWAY:
        _check_gateway(run, kind)


def _check_workers(run: RunConfig, name: str) -> None:
    if name in _FIXED:
        hosts = run.cluster_options.get("hosts")
        if not isinstance(hosts, list) or len(hosts) < 2 or not all(isinstance(host, str) for host in hosts):
            raise InputError(
                f"cluster-class {name}: needs the hosts of its scheduler and of each worker; add "
                """--cluster-option 'hosts=["host1", "host1", "host2"]'"""
            )
        if run.workers is not None or run.adapt is not None:
            raise InputError(f"cluster-class {name}: its hosts are its workers; omit workers and adapt")
    elif run.workers is None and run.adapt is None:
        raise InputError(f"cluster-class {name}: needs a number of workers; give workers, or adapt")


def _arguments(kind: Callable[..., Any], name: str) -> set[str] | None:
    """Return the names of all arguments of a class; None if they are not known before it is called."""
    if name == GATEWAY:
        return None  # they are those of the gateway's administrator
    sources: list[Any] = [kind]
    if name == LOCAL:
        from distributed import Nanny, Worker

        sources += [Nanny, Worker]
    elif name == SSH:
        from distributed import SpecCluster

        sources += [SpecCluster]
    elif inspect.isclass(kind):
        jobs = getattr(kind, "job_cls", None)  # classes of dask-jobqueue pass arguments on to the class of their jobs
        sources += [
            vars(of)["__init__"] for root in (kind, jobs) if root for of in root.__mro__ if "__init__" in vars(of)
        ]
    found: set[str] = set()
    for source in sources:
        found |= {
            parameter.name
            for parameter in inspect.signature(source).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
    return found - {"self"}


def _check_gateway(run: RunConfig, kind: Callable[..., Any]) -> None:
    """Raise InputError if the gateway does not answer, refuses the user, or has no such option."""
    from dask_gateway import Gateway

    from flows.gateway import offered_options

    arguments = set(inspect.signature(kind).parameters)
    of_gateway = set(inspect.signature(Gateway).parameters)
    try:
        offered = offered_options({key: value for key, value in run.cluster_options.items() if key in of_gateway})
    except Exception as error:  # it raises whatever its HTTP client does
        raise InputError(
            f"cluster-class {GATEWAY}: the gateway refuses or does not answer ({_line(error)}); set its URL in "
            "DASK_GATEWAY__ADDRESS or cluster-option address, and the login in DASK_GATEWAY__AUTH__TYPE"
        ) from error
    if unknown := [key for key in run.cluster_options if key not in arguments | offered]:
        raise InputError(
            f"cluster-option {unknown[0]}: this gateway has no such option; it has "
            f"{', '.join(sorted(offered)) or 'none'}"
        )


def cluster_arguments(run: RunConfig) -> dict[str, Any]:
    """Return the arguments that the class of a run gets."""
    arguments: dict[str, Any] = dict(run.cluster_options)
    if run.cluster_class == LOCAL:
        # The default of the dashboard is port 8787 on every interface; a closed cluster may log a traceback.
        defaults = {"processes": True, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
        arguments = defaults | arguments
    names = inspect.signature(find_class(run.cluster_class or "")).parameters
    if "n_workers" in names:
        arguments["n_workers"] = first_workers(run)
    return arguments


def first_workers(run: RunConfig) -> int:
    """Return the number of workers that a cluster starts with."""
    return run.workers or (run.adapt[0] if run.adapt else 0)


def create_cluster(name: str, arguments: Mapping[str, Any], workers: int | None) -> Any:
    """Create a cluster and ask it for a number of workers.

    Raises
    ------
    RunStopsError
        If it does not start.
    """
    try:
        cluster = find_class(name)(**arguments)
        if workers and "n_workers" not in arguments and name not in _FIXED:
            cluster.scale(workers)
    except Exception as error:  # it raises whatever its library does
        raise RunStopsError(
            f"cluster-class {name}: the cluster does not start ({_line(error)}); check its options and its logs"
        ) from error
    return cluster


def unreachable(name: str, error: OSError) -> RunStopsError:
    """Return the error of a cluster that has started, and whose scheduler does not answer."""
    remedy = "check that this machine reaches the address"
    if name == GATEWAY:
        remedy += "; a gateway may have another one for schedulers, which DASK_GATEWAY__PROXY_ADDRESS names"
    return RunStopsError(f"cluster-class {name}: its scheduler does not answer ({_line(error)}); {remedy}")


def is_on_this_machine(run: RunConfig) -> bool:
    """Return whether all workers of a created cluster run on this machine.

    Raises
    ------
    InputError
        If the package of a gateway is not installed.
    """
    options = run.cluster_options
    if run.cluster_class == SSH:
        hosts = options.get("hosts")
        return isinstance(hosts, list) and all(is_loopback(f"ssh://{host}") for host in hosts)
    if run.cluster_class == GATEWAY:
        import dask.config

        find_class(GATEWAY)  # its package sets the defaults of its configuration
        return is_loopback(str(options.get("address") or dask.config.get("gateway.address", "")))
    return run.cluster_class == LOCAL


def is_loopback(url: str) -> bool:
    """Return whether a URL is on this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _line(error: BaseException) -> str:
    return " ".join(without_secrets(f"{type(error).__name__}: {error}").split())
