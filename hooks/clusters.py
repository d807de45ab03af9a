"""Clusters that a flow run makes: named after it, so that they can be closed when its own process no longer can."""

import logging

from ardcube.config import RunConfig

logger = logging.getLogger(__name__)
_LETTERS = 12
"""Of a flow run's id: enough to tell runs apart, and short enough for a name."""


def cluster_name(run: RunConfig, flow_run_id: object) -> str:
    """Name of the Coiled cluster of a flow run.

    A name that runs share would let the first one that ends close the cluster under the others.
    """
    return f"{run.coiled_name}-{str(flow_run_id).replace('-', '')[:_LETTERS]}" if flow_run_id else run.coiled_name


def close_cluster(run: RunConfig, flow_run_id: object) -> None:
    """Delete the cluster that a flow run made, if it is still there. Clusters that stood before are left alone.

    Parameters
    ----------
    run : RunConfig
        Its settings: threads of its own process end with it, and a scheduler by address is somebody else's.
    flow_run_id
        Of the run.
    """
    if run.serverless_backend != "coiled":
        return
    import coiled  # slow to import, and wants an account

    name = cluster_name(run, flow_run_id)
    coiled.delete_cluster(name=name)
    logger.info("closed the cluster %s", name)
