"""A cluster whose scheduler and workers start by SSH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.build_cube import build_cube
from tests.flows.jobs import pixels, run_config, sample_cube
from tests.servers import processes, ssh


@pytest.mark.usefixtures("prefect_server")
def test_a_build_on_machines_with_ssh_equals_a_local_build(sample_archive: Path, tmp_path: Path) -> None:
    if ssh.sshd_path() is None:
        reason = "no sshd; install it (Debian, Ubuntu: apt-get install openssh-server)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    cube = sample_cube(sample_archive, chunk_size=80, bands=("red",), end_date="2023-05-31")
    build_cube(cube, run_config(tmp_path / "local.zarr"))
    keys = tmp_path / "keys"
    keys.mkdir()
    login = {**processes.NO_OUTBOUND, "PYTHONPATH": str(processes.ROOT)}
    with ssh.ssh_server(keys, login) as server:
        options = {
            "hosts": ["127.0.0.1"] * 3,
            "connect_options": server.connect_options,
            "worker_options": {"nthreads": 1, "host": "127.0.0.1"},
            "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        }
        run = run_config(
            tmp_path / "cube.zarr",
            threads=None,
            serverless_backend="dask",
            cluster_class="distributed.SSHCluster",
            cluster_options=options,
        )
        summary = build_cube(cube, run)
        logins = (keys / "sshd.log").read_text().count("Accepted publickey")
    assert (summary.written + summary.empty, summary.failed) == (summary.chunks, 0)
    assert logins == len(options["hosts"])
    assert pixels(tmp_path / "cube.zarr") == pixels(tmp_path / "local.zarr")
