"""The Docker deployment: the container that its worker would start, which a test without an engine cannot start."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from prefect.client.orchestration import get_client
from prefect_docker.worker import DockerWorkerJobConfiguration

from tests.deployments.deployed import Deployed
from tests.servers.processes import ROOT

# The first test also waits for the server, the worker and six commands of Prefect.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def container(deployed: Deployed) -> DockerWorkerJobConfiguration:
    """Return the configuration that the worker of the pool computes for a run of the deployment."""

    async def work_out() -> DockerWorkerJobConfiguration:
        async with get_client() as client:
            pool = await client.read_work_pool("ardcube-docker")
            deployment = await client.read_deployment_by_name("build-cube/docker")
            run = await client.create_flow_run_from_deployment(deployment.id)
            variables: dict[str, Any] = deployment.job_variables or {}
            worked_out = await DockerWorkerJobConfiguration.from_template_and_values(
                base_job_template=pool.base_job_template, values=variables, client=client
            )
            worked_out.prepare_for_flow_run(run, deployment=deployment, work_pool=pool, worker_name="here")
            await client.delete_flow_run(run.id)
            return worked_out

    return anyio.run(work_out)


def test_the_container_runs_the_flow_in_the_image_that_scripts_build_makes(
    container: DockerWorkerJobConfiguration,
) -> None:
    assert f"--tag {container.image} " in (ROOT / "scripts" / "build").read_text()
    assert container.image_pull_policy == "Never"
    assert container.command == "prefect flow-run execute"
    kwargs = container.container_create_kwargs or {}
    assert kwargs["entrypoint"] == ["/usr/bin/env"], "the image's own one is the ardcube command"
    assert container.env["PREFECT__FLOW_RUN_ID"]


def test_the_container_writes_to_the_volume_and_tmp_alone(container: DockerWorkerJobConfiguration) -> None:
    assert container.volumes == ["ardcube-output:/app/output"]
    kwargs = container.container_create_kwargs or {}
    assert kwargs["read_only"] is True
    assert list(kwargs["tmpfs"]) == ["/tmp"]
    assert container.env["PREFECT_HOME"] == "/tmp/prefect"
    assert "privileged" not in container.model_fields_set
