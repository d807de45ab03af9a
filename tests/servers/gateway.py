"""Start a real dask-gateway server whose clusters are processes of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import processes
from tests.wait_for import until

_CONFIG = """
from dask_gateway_server.options import Integer, Options

c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = {password!r}
c.DaskGateway.address = "127.0.0.1:0"
c.Proxy.address = "127.0.0.1:{port}"
c.UnsafeLocalBackend.clusters_directory = {folder!r}
c.ClusterConfig.scheduler_cmd = [{python!r}, "-m", "dask", "scheduler"]
c.ClusterConfig.worker_cmd = [{python!r}, "-m", "dask", "worker"]
c.Backend.cluster_options = Options(Integer("worker_cores", default=1, min=1, max=2))
"""


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """A gateway and the login of a user."""

    url: str
    password: str

    @property
    def dask_config(self) -> dict[str, Any]:
        """Dask's configuration of a user."""
        return {
            "gateway.http-client.proxy": False,  # tests have a proxy that does not exist
            "gateway.address": self.url,
            "gateway.auth.type": "basic",
            "gateway.auth.kwargs.password": self.password,
        }


@contextmanager
def dask_gateway(folder: Path) -> Iterator[GatewayServer]:
    """Run a gateway with its configuration, log and clusters in `folder`."""
    server = GatewayServer(f"http://127.0.0.1:{(port := processes.free_port())}", "hush-hush")
    config, log, clusters = folder / "config.py", folder / "gateway.log", folder / "clusters"
    clusters.mkdir()
    config.write_text(_CONFIG.format(password=server.password, port=port, folder=str(clusters), python=sys.executable))
    command = [Path(sys.executable).parent / "dask-gateway-server", "-f", config]
    with processes.running(command, log) as process:
        ready = lambda: processes.answers(f"{server.url}/api/health") is not None  # noqa: E731
        processes.wait_until(ready, "dask-gateway-server", seconds=60, process=process, log=log)
        yield server
        # The server ends at once, and would leave the scheduler of a cluster that it is about to stop.
        until(lambda: not any(clusters.iterdir()), "the end of the clusters")
