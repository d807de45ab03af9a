"""Ask the first workers of a cluster that a run has created, before they get a chunk.

A worker that sees another disk at the store's path would build chunks that nobody finds.
"""

from typing import Any

from ardcube.config import RunConfig
from ardcube.errors import InputError, RunStopsError
from ardcube.storage.place import Place
from flows.ask_workers import ask_for_client, first_problem, seen_by_flow

_LEAST_SECONDS = 60.0
"""Seconds to wait for the first worker, even if the run waits for no service."""


def check_started_workers(run: RunConfig, client: Any) -> None:
    """Wait for the first worker of a cluster, and ask all that have started.

    Parameters
    ----------
    run : RunConfig
        Names the store, the class of the cluster, and the time to wait.
    client : distributed.Client
        Client of the cluster.

    Raises
    ------
    RunStopsError
        If no worker starts in time, or one cannot build chunks of the run.
    """
    try:
        client.wait_for_workers(1, timeout=max(_LEAST_SECONDS, run.patience_seconds))
        with seen_by_flow(run, Place.at(run.fsspec_uri, run.storage_options), ()) as seen:
            answers = ask_for_client(client, seen)
    except TimeoutError as error:
        problem = "its workers do not answer" if client.nthreads() else f"no worker has started within {run.patience}"
        raise RunStopsError(
            f"cluster-class {run.cluster_class}: {problem}; look at the cluster's logs, or give more patience"
        ) from error
    except InputError as error:
        raise RunStopsError(str(error)) from error
    if line := first_problem(answers):
        raise RunStopsError(line)
