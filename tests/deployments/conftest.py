"""Fixtures: the deployments of prefect.yaml, created with `prefect deploy`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.deployments.deployed import Deployed
from tests.deployments.parameter_sets import PREFECT_YAML
from tests.servers.processes import ROOT, PrefectServer, environment, prefect_worker

_DOCKER_POOL = ["work-pool", "create", "ardcube-docker", "--overwrite", "--type", "docker", "--base-job-template"]


@pytest.fixture(scope="package")
def deployed(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Deploy from a folder that is removed before a run begins, as if the worker were on another machine."""
    folder = tmp_path_factory.mktemp("deployed") / "a checkout"
    folder.mkdir()
    shutil.copy(PREFECT_YAML, folder)
    shutil.copytree(ROOT / "deployments", folder / "deployments")
    env = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    with prefect_worker(prefect_server, folder.parent, pool="ardcube", env=env) as worker:
        for command in ([*_DOCKER_POOL, "deployments/docker-pool.json"], ["deploy", "--all"]):
            done = subprocess.run(
                [sys.executable, "-m", "prefect", *command],
                cwd=folder,
                env=environment(prefect_server.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(folder)
        yield Deployed(prefect_server, worker, folder)
