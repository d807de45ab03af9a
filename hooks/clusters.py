"""Name and close the Coiled cluster of a flow run, from any process."""

import logging

from ardcube.config import RunConfig

logger = logging.getLogger(__name__)
_LETTERS = 12
"""Hexadecimal digits of a flow run's id in the name: enough to be unique, and short enough for Coiled."""


def cluster_name(run: RunConfig, flow_run_id: object) -> str:
    """Return the name of the Coiled cluster of a flow run.

    Each run needs another name. Otherwise the first run that ends would close the cluster of the others.
    """
    return f"{run.coiled_name}-{str(flow_run_id).replace('-', '')[:_LETTERS]}" if flow_run_id else run.coiled_name


def close_cluster(run: RunConfig, flow_run_id: object) -> None:
    """Delete the cluster that a flow run created, if it still exists.

    Parameters
    ----------
    run : RunConfig
        Names the backend. Only a Coiled cluster is created by the run and outlives its process.
    flow_run_id
        Id of the flow run.
    """
    if run.serverless_backend != "coiled":
        return
    import coiled  # slow to import, and needs an account

    name = cluster_name(run, flow_run_id)
    coiled.delete_cluster(name=name)
    logger.info("closed the cluster %s", name)
