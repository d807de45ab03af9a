"""The deployments of prefect.yaml with their parameters, combined like `prefect deploy` does."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.servers.processes import ROOT

PREFECT_YAML = ROOT / "prefect.yaml"
AREAS = ROOT / "deployments" / "areas"
PARAMETER_SETS: dict[str, dict[str, Any]] = {
    path.stem: {name: one for name, one in yaml.safe_load(path.read_text()).items() if name != "area"}
    for path in AREAS.glob("*.yaml")
}
"""Parameter sets by area and deployment."""


def _filled_in(deployment: dict[str, Any]) -> dict[str, Any]:
    parameters = {}
    for name, placeholder in deployment["parameters"].items():
        area, chosen, field = re.fullmatch(r"\{\{ (\w+)\.(\w+)\.(\w+) \}\}", placeholder).groups()  # type: ignore[union-attr]
        parameters[name] = PARAMETER_SETS[area][chosen][field]
    return {**deployment, "parameters": parameters}


PROJECT: dict[str, Any] = yaml.safe_load(PREFECT_YAML.read_text())
DEPLOYMENTS: dict[str, dict[str, Any]] = {
    deployment["name"]: _filled_in(deployment) for deployment in PROJECT["deployments"]
}
