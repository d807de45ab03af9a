"""The deployments of prefect.yaml: a real server accepts them, and a real process worker runs them."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml

from ardcube.config import CubeConfig, RunConfig
from flows.build_cube import build_cube
from tests.flows.jobs import pixels, records, run_config, sample_cube
from tests.servers.processes import ROOT, PrefectServer, Service, environment, prefect_worker

PREFECT_YAML = ROOT / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(PREFECT_YAML.read_text())["deployments"]
PARAMETER_SETS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "deployments").glob("*.yaml")}
BY_NAME = [pytest.param(deployment, id=deployment["name"]) for deployment in DEPLOYMENTS]


def test_the_parameter_sets_are_those_of_the_folder() -> None:
    assert PARAMETER_SETS
    assert yaml.safe_load(PREFECT_YAML.read_text())["definitions"]["areas"] == PARAMETER_SETS
    assert all(deployment["parameters"] in PARAMETER_SETS.values() for deployment in DEPLOYMENTS)


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_every_parameter_set_is_a_request(name: str) -> None:
    parameters = PARAMETER_SETS[name]
    assert parameters.keys() == {"cube", "run"}
    CubeConfig(**parameters["cube"])
    RunConfig(**parameters["run"])


@pytest.mark.parametrize("deployment", BY_NAME)
def test_every_entrypoint_is_a_flow_that_takes_the_two_models(deployment: dict[str, Any]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, prefect.Flow)
    assert list(flow.parameters.properties) == list(deployment["parameters"]) == ["cube", "run"]
    flow.validate_parameters(deployment["parameters"])


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment as the server knows it, and the worker that runs it."""

    server: PrefectServer
    worker: Service
    folder: Path
    """Where `prefect deploy` ran."""
    described: dict[str, Any]

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and document that the server answers; it is asked again while its SQLite file is locked (503)."""
        end = time.monotonic() + 60
        while True:
            status, document = self._ask_once(path, body)
            if status != 503 or time.monotonic() > end:
                return status, document
            time.sleep(0.2)

    def _ask_once(self, path: str, body: Any) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"{self.server.api_url}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def start(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        """Ask for a run."""
        return self.ask(f"deployments/{self.described['id']}/create_flow_run", {"parameters": parameters})

    def run(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the worker run it; give the state in which it ended."""
        status, started = self.start(parameters)
        assert status < 300, started
        end = time.monotonic() + 180
        while time.monotonic() < end:
            _, flow_run = self.ask(f"flow_runs/{started['id']}")
            state: dict[str, Any] = flow_run["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return state
            time.sleep(0.2)
        raise AssertionError(f"the run is still {state['type']}:\n{self.worker.log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def deployed(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The deployments of prefect.yaml, as a person makes them, in a folder of their own."""
    folder = tmp_path_factory.mktemp("deployed")
    shutil.copy(PREFECT_YAML, folder)
    with prefect_worker(prefect_server, folder, pool="ardcube", env={"PREFECT_WORKER_QUERY_SECONDS": "1"}) as worker:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "deploy", "--all"],
            cwd=folder,
            env=environment(prefect_server.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = Deployed(prefect_server, worker, folder, {})
        _, described = found.ask("deployments/name/build-cube/manual")
        yield Deployed(prefect_server, worker, folder, described)


def as_json(cube: CubeConfig, run: RunConfig) -> dict[str, Any]:
    """Parameters as a form sends them."""
    return {"cube": cube.model_dump(mode="json"), "run": run.model_dump(mode="json")}


def test_deploy_all_makes_every_deployment_as_it_is_written(deployed: Deployed) -> None:
    _, there = deployed.ask("deployments/filter", {})
    assert {entry["name"] for entry in there} == {entry["name"] for entry in DEPLOYMENTS}
    (wanted,) = DEPLOYMENTS
    for field in ("name", "description", "entrypoint", "parameters", "tags", "enforce_parameter_schema"):
        assert deployed.described[field] == wanted[field]
    assert deployed.described["work_pool_name"] == "ardcube"
    (step,) = deployed.described["pull_steps"]
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": str(deployed.folder.resolve())}}


def test_the_form_shows_what_every_field_means(deployed: Deployed) -> None:
    forms = deployed.described["parameter_openapi_schema"]["definitions"]
    for model in (CubeConfig, RunConfig):
        for name, field in model.model_fields.items():
            assert forms[model.__name__]["properties"][name]["description"] == field.description


@pytest.mark.slow
def test_a_worker_builds_the_same_cube_as_this_process(
    deployed: Deployed, sample_archive: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, end_date="2023-05-31")
    # A relative place counts from the folder that was deployed, wherever the worker was started.
    state = deployed.run(as_json(cube, run_config("output/cube.zarr")))
    assert state["type"] == "COMPLETED", state["message"]
    build_cube(cube, run_config(tmp_path / "cube.zarr"))
    built = deployed.folder / "output" / "cube.zarr"
    assert pixels(built) == pixels(tmp_path / "cube.zarr")
    assert pixels(built).values.any()
    there, here = records(built), records(tmp_path / "cube.zarr")
    assert {key: record.status for key, record in there.items()} == {key: r.status for key, r in here.items()}


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("cube", {"chunk_size": 4}, ["cube.chunk_size", "less than the minimum of 16"]),
        ("cube", {"cloudy": True}, ["cube", "'cloudy' was unexpected"]),
        ("cube", {"bbox": [1, 2]}, ["cube.bbox", "too short"]),
        ("run", {"serverless_backend": "spark"}, ["run.serverless_backend", "spark"]),
        ("run", {"retries": 99}, ["run.retries", "maximum of 20"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_server_refuses_what_the_form_forbids_before_a_run_starts(
    deployed: Deployed, model: str, changes: dict[str, Any], said: list[str]
) -> None:
    parameters = dict(deployed.described["parameters"])
    status, answer = deployed.start({**parameters, model: {**parameters[model], **changes}})
    assert status == 409
    assert [words for words in said if words not in answer["detail"]] == []


@pytest.mark.slow
def test_what_only_the_models_know_fails_the_run_and_says_why(deployed: Deployed, tmp_path: Path) -> None:
    parameters = deployed.described["parameters"]
    bad = {
        "cube": {**parameters["cube"], "end_date": "2020-01-01"},
        "run": {**parameters["run"], "fsspec_uri": str(tmp_path / "cube.zarr")},
    }
    state = deployed.run(bad)
    assert state["type"] == "FAILED"
    assert "end_date 2020-01 lies before start_date 2023-01; swap them" in state["message"]
    assert list(tmp_path.iterdir()) == []
