"""Schedulers that ask for credentials: TLS with certificates, and dask-gateway with a login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from dask_gateway import Gateway
from distributed import Security

from ardcube.config import RunConfig
from ardcube.errors import InputError, RunStopsError
from flows.build_cube import build_cube
from flows.preflight import check_workers
from tests.flows.jobs import Pixels, pixels, run_config, sample_cube
from tests.servers import gateway as gateways
from tests.servers import processes
from tests.servers.gateway import GatewayServer

CUBE = {"chunk_size": 80, "bands": ("red",), "end_date": "2023-05-31"}


@pytest.fixture(scope="module")
def local(prefect_server: Any, sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Pixels of the cube that threads of this process build."""
    uri = tmp_path_factory.mktemp("local") / "cube.zarr"
    build_cube(sample_cube(sample_archive, **CUBE), run_config(uri))
    return pixels(uri)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """A gateway whose clusters are processes of this machine."""
    with gateways.dask_gateway(tmp_path_factory.mktemp("gateway")) as server:
        yield server


def on(uri: Path, **changes: Any) -> RunConfig:
    """Return a run of the Dask backend."""
    return run_config(uri, **{"threads": None, "serverless_backend": "dask", **changes})


def refused(run: RunConfig) -> str:
    """Return the message of a refused run, which is one line."""
    with pytest.raises(InputError) as caught:
        check_workers(run, [])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_scheduler_with_tls_builds_with_the_certificates_of_dasks_configuration(
    sample_archive: Path, tmp_path: Path, local: Pixels
) -> None:
    made = Security.temporary()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text(made.tls_ca_file)
    key.write_text(made.tls_client_key)
    prefix = "DASK_DISTRIBUTED__COMM__"
    tls = {f"{prefix}TLS__CA_FILE": str(certificate), f"{prefix}REQUIRE_ENCRYPTION": "True"}
    for role in ("SCHEDULER", "WORKER"):
        tls |= {f"{prefix}TLS__{role}__CERT": str(certificate), f"{prefix}TLS__{role}__KEY": str(key)}
    with processes.dask_cluster(tmp_path, workers=1, env=tls) as cluster:
        run = on(tmp_path / "cube.zarr", scheduler_address=cluster.address)
        assert cluster.address.startswith("tls://")
        assert "does not answer as a Dask scheduler (TLS expects a `ssl_context`" in refused(run)
        client = {
            f"distributed.comm.tls.{name}": str(path)
            for name, path in (("ca-file", certificate), ("client.cert", certificate), ("client.key", key))
        }
        with dask.config.set(client):
            summary = build_cube(sample_cube(sample_archive, **CUBE), run)
    assert summary.failed == 0
    assert pixels(tmp_path / "cube.zarr") == local


def test_a_gateway_creates_the_cluster_of_a_run_and_lends_a_running_one(
    gateway: GatewayServer, sample_archive: Path, tmp_path: Path, local: Pixels
) -> None:
    cube = sample_cube(sample_archive, **CUBE)
    with dask.config.set(gateway.dask_config):
        client = Gateway()
        created = on(
            tmp_path / "created.zarr",
            cluster_class="dask_gateway.GatewayCluster",
            cluster_options={"worker_cores": 1},
            adapt=(1, 2),
        )
        assert build_cube(cube, created).failed == 0
        assert client.list_clusters() == []
        with client.new_cluster() as cluster:
            cluster.scale(1)
            running = on(tmp_path / "running.zarr", scheduler_address=cluster.scheduler_address)
            assert running.scheduler_address.startswith("gateway://")  # type: ignore[union-attr]
            assert build_cube(cube, running).failed == 0
    assert pixels(tmp_path / "created.zarr") == local
    assert pixels(tmp_path / "running.zarr") == local


def test_a_gateway_refuses_in_one_line(gateway: GatewayServer, tmp_path: Path) -> None:
    def created(**options: Any) -> RunConfig:
        return on(
            tmp_path / "cube.zarr",
            cluster_class="dask_gateway.GatewayCluster",
            cluster_options=options,
            workers=1,
        )

    with dask.config.set(gateway.dask_config):
        message = refused(created(worker_core=1))
        assert message == "cluster-option worker_core: this gateway has no such option; it has worker_cores"
        closed = f"gateway://127.0.0.1:{processes.free_port()}/abc"
        message = refused(on(tmp_path / "cube.zarr", scheduler_address=closed))
        assert message.startswith(f"scheduler-address {closed} does not answer as a Dask scheduler (")
    with dask.config.set({**gateway.dask_config, "gateway.auth.kwargs.password": "wrong-word"}):
        message = refused(created())
        assert "the gateway refuses or does not answer (ClientResponseError: 401" in message
        assert "wrong-word" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_whose_schedulers_have_another_address_stops_the_run_in_one_line(
    gateway: GatewayServer, sample_archive: Path, tmp_path: Path
) -> None:
    closed = f"gateway://127.0.0.1:{processes.free_port()}"
    wrong = {"gateway.proxy-address": closed, "distributed.comm.timeouts.connect": "2s"}
    run = on(tmp_path / "cube.zarr", cluster_class="dask_gateway.GatewayCluster", workers=1)
    with dask.config.set({**gateway.dask_config, **wrong}):
        with pytest.raises(RunStopsError, match=f"its scheduler does not answer .*{closed}") as caught:
            build_cube(sample_cube(sample_archive, **CUBE), run)
        assert Gateway().list_clusters() == []
    assert str(caught.value).endswith("which DASK_GATEWAY__PROXY_ADDRESS names")
