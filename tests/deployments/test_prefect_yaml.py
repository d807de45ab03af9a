"""Prefect.yaml and the parameter sets: flows exist, models accept the parameters, the schedule fits the refresh."""

from __future__ import annotations

import importlib
from datetime import UTC, date, datetime
from typing import Any

import anyio
import prefect
import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.schemas.schedules import CronSchedule as ServerCronSchedule

from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig, RunConfig
from ardcube.extent.months import add_months, limit_to_ended_periods
from ardcube.planning.cost.figures import Range, total_of
from ardcube.prepare.cost import prices_of
from ardcube.runtime.allocator import allocator_environment
from flows.coiled_cluster import coiled_arguments
from tests.deployments.parameter_sets import DEPLOYMENTS, PARAMETER_SETS, PROJECT

BY_NAME = [pytest.param(deployment, id=name) for name, deployment in DEPLOYMENTS.items()]
ALL_SETS = [
    pytest.param(name, one, id=f"{area}-{name}") for area, sets in PARAMETER_SETS.items() for name, one in sets.items()
]


def load(deployment: dict[str, Any]) -> prefect.Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow: prefect.Flow[..., Any] = getattr(importlib.import_module(module), name)
    assert isinstance(flow, prefect.Flow)
    return flow


def test_every_way_to_run_has_a_deployment() -> None:
    assert set(DEPLOYMENTS) >= {"sample", "manual", "monthly", "coiled", "docker", "retry"}


@pytest.mark.parametrize("deployment", BY_NAME)
def test_every_entrypoint_is_a_flow_of_an_installed_module_that_takes_its_parameters(
    deployment: dict[str, Any],
) -> None:
    flow = load(deployment)
    assert set(flow.parameters.required) <= set(deployment["parameters"]) <= set(flow.parameters.properties)
    flow.validate_parameters(deployment["parameters"])


@pytest.mark.parametrize(("name", "parameters"), ALL_SETS)
def test_every_parameter_set_is_valid_and_used(name: str, parameters: dict[str, Any]) -> None:
    cube = GrowingCubeConfig if name == "monthly" else CubeConfig
    models = {"cube": cube, "run": RunConfig, "refresh": RefreshConfig}
    for field, values in parameters.items():
        models[field](**values)
    assert parameters in [deployment["parameters"] for deployment in DEPLOYMENTS.values()]


@pytest.mark.parametrize("deployment", BY_NAME)
def test_every_deployment_states_the_prices_that_the_summary_needs(deployment: dict[str, Any]) -> None:
    one = Range.exactly(1.0)
    prices = prices_of(RunConfig(**deployment["parameters"]["run"]))
    money = total_of(prices.parts(one, one, one))
    assert list(prices.parts(one, one, one)) == ["core-hours", "bytes", "requests"]
    assert money is not None
    assert money.likely > 0


@pytest.mark.parametrize("deployment", BY_NAME)
def test_every_deployment_runs_once_at_a_time_and_refuses_bad_parameters(deployment: dict[str, Any]) -> None:
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert deployment["enforce_parameter_schema"] is True


def test_only_the_monthly_deployment_has_a_schedule() -> None:
    assert [name for name, deployment in DEPLOYMENTS.items() if deployment["schedules"]] == ["monthly"]


def test_the_schedule_is_after_the_month_before_counts_as_ended() -> None:
    (schedule,) = DEPLOYMENTS["monthly"]["schedules"]
    cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert cron.timezone == "UTC"
    days = anyio.run(
        lambda: ServerCronSchedule(cron=cron.cron, timezone="UTC").get_dates(14, datetime(2027, 1, 1, tzinfo=UTC))
    )
    assert len(days) == 14
    parameters = DEPLOYMENTS["monthly"]["parameters"]
    cube, delay = GrowingCubeConfig(**parameters["cube"]), RefreshConfig(**parameters["refresh"]).delay_days
    for day in days:
        built = limit_to_ended_periods(cube, date(day.year, day.month, day.day), delay).end_date
        assert built == add_months(date(day.year, day.month, 1), -1)


def test_the_coiled_deployment_sets_region_size_spot_policy_and_idle_time() -> None:
    values = DEPLOYMENTS["coiled"]["parameters"]["run"]
    cluster, _ = coiled_arguments(RunConfig(**values))
    said = {"region": "coiled_region", "worker_cpu": "coiled_worker_cpu", "worker_memory": "coiled_worker_memory"}
    said |= {"spot_policy": "coiled_spot_policy", "idle_timeout": "coiled_idle_timeout", "name": "coiled_name"}
    assert {argument: cluster[argument] for argument in said} == {name: values[field] for name, field in said.items()}
    assert allocator_environment(cluster["worker_cpu"]).items() <= cluster["environ"].items()


def test_the_docker_deployment_runs_in_the_folder_of_the_image() -> None:
    (step,) = DEPLOYMENTS["docker"]["pull"]
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": "/app"}}
    assert "pull" not in DEPLOYMENTS["manual"]
    assert PROJECT["pull"][-1] == {
        "prefect.deployments.steps.set_working_directory": {"directory": "{{ checkout.stdout }}"}
    }
