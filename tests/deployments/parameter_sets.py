"""The deployments of prefect.yaml with their parameters, combined like `prefect deploy` does."""

from __future__ import annotations

import re
from functools import reduce
from typing import Any

import yaml

from tests.servers.processes import ROOT

PREFECT_YAML = ROOT / "prefect.yaml"
AREAS = ROOT / "deployments" / "areas"
DOCUMENTS: dict[str, dict[str, Any]] = {path.stem: yaml.safe_load(path.read_text()) for path in AREAS.glob("*.yaml")}
"""Files of areas by name."""
_SHARED = ("area", "prices")
"""Parts of a file that its parameter sets share."""
PARAMETER_SETS: dict[str, dict[str, Any]] = {
    area: {area: document}
    if "cube" in document
    else {name: one for name, one in document.items() if name not in _SHARED}
    for area, document in DOCUMENTS.items()
}
"""Parameter sets by area and deployment. The file of an area with one deployment holds its parameters."""


def _filled_in(deployment: dict[str, Any]) -> dict[str, Any]:
    parameters = {}
    for name, placeholder in deployment["parameters"].items():
        path = re.fullmatch(r"\{\{ ([\w.]+) \}\}", placeholder)
        assert path is not None
        parameters[name] = reduce(lambda found, key: found[key], path[1].split("."), DOCUMENTS)
    return {**deployment, "parameters": parameters}


PROJECT: dict[str, Any] = yaml.safe_load(PREFECT_YAML.read_text())
DEPLOYMENTS: dict[str, dict[str, Any]] = {
    deployment["name"]: _filled_in(deployment) for deployment in PROJECT["deployments"]
}
