"""The deployments of prefect.yaml: a real server accepts them, and a real process worker runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig, RunConfig
from flows.build_cube import build_cube
from tests.deployments.deployed import Deployed
from tests.deployments.parameter_sets import DEPLOYMENTS
from tests.flows.jobs import pixels, records, run_config
from tests.servers.processes import ROOT, environment

# The first test also waits for the server, the worker and six commands of Prefect.
pytestmark = pytest.mark.timeout(900)


def test_deploy_all_creates_every_deployment_of_prefect_yaml(deployed: Deployed) -> None:
    there = deployed.all()
    assert set(DEPLOYMENTS) <= set(there)  # tests of other files deploy theirs on the same server
    for name, wanted in DEPLOYMENTS.items():
        for field in ("description", "entrypoint", "parameters", "tags", "enforce_parameter_schema"):
            assert there[name][field] == wanted[field]
        assert there[name]["work_pool_name"] == wanted["work_pool"]["name"]
        assert there[name]["global_concurrency_limit"]["limit"] == 1
        assert there[name]["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        folder = str(deployed.folder.resolve()) if wanted["work_pool"]["name"] == "ardcube" else "/app"
        assert there[name]["pull_steps"][-1] == {
            "prefect.deployments.steps.set_working_directory": {"directory": folder}
        }


def test_an_area_is_added_by_one_file(deployed: Deployed, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deployments", tmp_path / "deployments")
    (tmp_path / "deployments" / "areas" / "zagreb.yaml").write_text(
        "cube: {bbox: {west: 15.0, south: 45.8, east: 16.4, north: 46.2}, start_date: '2025-01-01', cloud_mask: scl}\n"
        "run: {fsspec_uri: output/zagreb.zarr, look_back_months: 3}\n"
    )
    command = ["--no-prompt", "deploy", "--all", "--prefect-file", "deployments/area.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *command],
        cwd=tmp_path,
        env=environment(deployed.server.environment | {"AREA": "zagreb"}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, found = deployed.ask("deployments/filter", {"deployments": {"name": {"any_": ["zagreb"]}}})
    run = {"fsspec_uri": "output/zagreb.zarr", "look_back_months": 3}
    by_flow = {one["entrypoint"].rpartition(".")[2]: one for one in found}
    assert set(by_flow) == {"refresh_cube", "retry_cube"}
    assert by_flow["retry_cube"]["parameters"] == {"run": run}
    assert by_flow["refresh_cube"]["parameters"]["run"] == run
    assert by_flow["refresh_cube"]["parameters"]["cube"]["start_date"] == "2025-01-01"
    assert [one["schedule"]["cron"] for one in by_flow["refresh_cube"]["schedules"]] == ["0 6 7 * *"]
    assert all(one["tags"] == ["ardcube"] and one["work_pool_name"] == "ardcube" for one in found)


@pytest.mark.slow
def test_a_worker_builds_the_sample_without_parameters_as_this_process_does(
    deployed: Deployed, sample_archive: Path, tmp_path: Path
) -> None:
    (deployed.folder / "data").mkdir(parents=True, exist_ok=True)
    (deployed.folder / "data" / "sample").symlink_to(sample_archive)
    state = deployed.run("sample", {})
    assert state["type"] == "COMPLETED", state["message"]
    # A relative place counts from the folder that was deployed, wherever the worker was started.
    built = deployed.folder / "output" / "sample.zarr"
    cube = CubeConfig(**{**DEPLOYMENTS["sample"]["parameters"]["cube"], "stac_url": str(sample_archive)})
    build_cube(cube, run_config(tmp_path / "cube.zarr"))
    assert pixels(built) == pixels(tmp_path / "cube.zarr")
    assert pixels(built).values.any()
    there, here = records(built), records(tmp_path / "cube.zarr")
    assert len(there) == 24
    assert {key: record.status for key, record in there.items()} == {key: r.status for key, r in here.items()}


def test_the_form_shows_the_description_of_every_field(deployed: Deployed) -> None:
    there = deployed.all()
    for name, model in [
        ("manual", CubeConfig), ("manual", RunConfig), ("monthly", GrowingCubeConfig), ("monthly", RefreshConfig),
    ]:  # fmt: skip
        form = there[name]["parameter_openapi_schema"]["definitions"][model.__name__]["properties"]
        for field, info in model.model_fields.items():
            assert form[field]["description"] == info.description


def test_the_server_plans_the_monthly_runs(deployed: Deployed) -> None:
    monthly = deployed.all()["monthly"]["id"]
    status, _ = deployed.ask(f"deployments/{monthly}/schedule", {"min_runs": 3})  # as a service of the server does
    assert status == 200
    _, runs = deployed.ask("flow_runs/filter", {"deployments": {"id": {"any_": [monthly]}}})
    times = [
        datetime.fromisoformat(run["expected_start_time"]).astimezone(UTC) for run in runs if run["auto_scheduled"]
    ]
    assert len(times) >= 3
    assert {(moment.day, moment.hour, moment.minute) for moment in times} == {(7, 6, 0)}


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("cube", {"chunk_size": 4}, ["cube.chunk_size", "less than the minimum of 16"]),
        ("cube", {"cloudy": True}, ["cube", "'cloudy' was unexpected"]),
        ("cube", {"bbox": [1, 2]}, ["cube.bbox"]),
        ("run", {"serverless_backend": "spark"}, ["run.serverless_backend", "spark"]),
        ("run", {"retries": 99}, ["run.retries", "maximum of 20"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_server_refuses_invalid_parameters_before_a_run_starts(
    deployed: Deployed, model: str, changes: dict[str, Any], said: list[str]
) -> None:
    parameters = DEPLOYMENTS["manual"]["parameters"]
    status, answer = deployed.start("manual", {**parameters, model: {**parameters[model], **changes}})
    assert status == 409
    assert [words for words in said if words not in answer["detail"]] == []


@pytest.mark.slow
def test_a_violated_rule_of_the_models_fails_the_run_with_the_reason(deployed: Deployed, tmp_path: Path) -> None:
    parameters = DEPLOYMENTS["manual"]["parameters"]
    bad = {
        "cube": {**parameters["cube"], "bbox": [-122.9, 48.9, -123.3, 49.4]},
        "run": {**parameters["run"], "fsspec_uri": str(tmp_path / "cube.zarr")},
    }
    state = deployed.run("manual", bad)
    assert state["type"] == "FAILED"
    assert "-122.9 48.9 -123.3 49.4 has a minimum that is not below its maximum" in state["message"]
    assert list(tmp_path.iterdir()) == []
