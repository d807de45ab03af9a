"""Credentials for the scheduler of a running Dask cluster, by its address.

`load` is a loader for Dask's setting `distributed.client.security-loader`. Runs use it if that is not set.
"""

from typing import Any
from urllib.parse import urlsplit

from flows.gateway import cluster_security

_SETTING = "distributed.client.security-loader"


def use_loader() -> None:
    """Let clients of this process load credentials with `load`, unless Dask's configuration names another loader."""
    import dask.config
    import distributed  # noqa: F401  (it sets the defaults of its configuration)

    if not dask.config.get(_SETTING, None):
        dask.config.set({_SETTING: f"{__name__}.load"})


def load(info: dict[str, Any]) -> Any:
    """Return the credentials for a scheduler, as `distributed.Security`, or None.

    Parameters
    ----------
    info : dict
        `address` is that of the scheduler. That of a gateway is `gateway://HOST:PORT/NAME`. For other addresses the
        result is None, and Dask reads certificates from its configuration (`distributed.comm.tls`).

    Raises
    ------
    ValueError
        If the gateway has no running cluster of this name.
    """
    address = urlsplit(info["address"])
    return cluster_security(address.path.strip("/")) if address.scheme == "gateway" else None
