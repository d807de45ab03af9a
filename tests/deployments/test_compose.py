"""The compose file: services wait for each other, their commands exist, and it contains no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
import yaml

from tests.deployments.parameter_sets import DEPLOYMENTS, PROJECT
from tests.servers.processes import ROOT

FOLDER = ROOT / "deployments"
TEXT = (FOLDER / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "postgres"}
BY_NAME = [pytest.param(service, id=name) for name, service in OURS.items()]


def test_compose_starts_a_database_a_server_and_a_worker() -> None:
    assert set(SERVICES) == {"postgres", "server", "worker", "deploy"}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["deploy"]


def test_each_service_waits_until_its_dependencies_are_healthy() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    assert {name: list(others) for name, others in needs.items()} == {
        "postgres": [], "server": ["postgres"], "worker": ["server"], "deploy": ["worker"],
    }  # fmt: skip
    for others in needs.values():
        for other, how in others.items():
            assert how == {"condition": "service_healthy"}
            assert SERVICES[other]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", BY_NAME)
def test_services_of_ardcube_run_the_image_of_scripts_build_without_privileges(service: dict[str, Any]) -> None:
    assert f"--tag {service['image']} " in (ROOT / "scripts" / "build").read_text()
    assert service["pull_policy"] == "never"
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]


def test_other_images_have_a_version() -> None:
    assert re.fullmatch(r"postgres:\d+-\w+", SERVICES["postgres"]["image"])


@pytest.mark.parametrize("service", BY_NAME)
def test_every_command_exists_with_its_options(service: dict[str, Any]) -> None:
    assert service["entrypoint"] == ["prefect"]
    words = [word for word in service["command"] if word != "--no-prompt"]
    subcommand = [word for word in words[:2] if not word.startswith("-")]
    help_text = subprocess.run(
        [sys.executable, "-m", "prefect", *subcommand, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert [word for word in words if word.startswith("--") and f"{word} " not in help_text] == []


def test_compose_deploys_only_deployments_of_its_work_pool() -> None:
    command = SERVICES["deploy"]["command"]
    names = [name for option, name in pairwise(command) if option == "--name"]
    assert names
    pool = SERVICES["worker"]["command"][SERVICES["worker"]["command"].index("--pool") + 1]
    assert {DEPLOYMENTS[name]["work_pool"]["name"] for name in names} == {pool}
    mounted = [volume.split(":")[:2] for volume in SERVICES["deploy"]["volumes"]]
    inside = {target: FOLDER / source for source, target in mounted}
    # What the build steps read.
    read = [step["prefect.deployments.steps.run_shell_script"]["script"] for step in PROJECT["build"] if len(step) == 1
            and "prefect.deployments.steps.run_shell_script" in step]  # fmt: skip
    for script in read:
        for path in re.findall(r"deployments/\S+", script):
            assert any(
                (source / f"/app/{path}".removeprefix(f"{target}/")).is_file() for target, source in inside.items()
            )
    assert inside["/app/prefect.yaml"].is_file()


def test_secrets_come_from_a_file_that_git_ignores() -> None:
    secrets = {"POSTGRES_PASSWORD", "PREFECT_AUTH_STRING"}
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|KEY|SECRET|TOKEN", name):
                assert re.fullmatch(r"\$\{(\w+):\?.+\}", value), name
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) == secrets
    example = (FOLDER / "example.env").read_text()
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert {name for name, value in given.items() if not value} == secrets, "an example password would be kept"
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == set(given)
    assert "/deployments/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_server_listens_on_loopback_unless_configured_otherwise() -> None:
    assert SERVICES["server"]["ports"] == ["${PREFECT_BIND:-127.0.0.1}:4200:4200"]
    assert "ports" not in SERVICES["postgres"]
