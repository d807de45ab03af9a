"""Deployments on a real server, and a worker that runs them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.processes import PrefectServer, Service


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of `prefect deploy --all`."""

    server: PrefectServer
    worker: Service
    folder: Path
    """Folder that `prefect deploy` ran in."""

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and document of an answer. The request is repeated while the SQLite file is locked (503)."""
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

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the deployments of the server by name."""
        _, there = self.ask("deployments/filter", {})
        return {deployment["name"]: deployment for deployment in there}

    def start(self, name: str, parameters: dict[str, Any]) -> tuple[int, Any]:
        """Create a run."""
        return self.ask(f"deployments/{self.all()[name]['id']}/create_flow_run", {"parameters": parameters})

    def run(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Let the worker execute a run; return its final state."""
        status, started = self.start(name, parameters)
        assert status < 300, started
        end = time.monotonic() + 400
        while time.monotonic() < end:
            _, flow_run = self.ask(f"flow_runs/{started['id']}")
            state: dict[str, Any] = flow_run["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return state
            time.sleep(0.2)
        raise AssertionError(f"the run is still {state['type']}:\n{self.worker.log.read_text()[-3000:]}")
