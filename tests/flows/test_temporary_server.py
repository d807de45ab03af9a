"""Prefect's temporary server starts while the process imports, and ends with the process even if that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.processes import has_ended
from tests.wait_for import until

CODE = """
import os, signal, sys, urllib.request
from flows.temporary_server import start_server

start_server(lambda: print("imported"))
if module := sys.modules.get("prefect.server.api.server"):
    server = module.SubprocessASGIServer()
    print(urllib.request.urlopen(f"{server.api_url}/health", timeout=5).read().decode())
    print(server.server_process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(home: Path, **environment: str) -> list[str]:
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=without | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"} | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout.splitlines()


def test_the_server_answers_once_it_was_started_and_ends_with_a_killed_process(
    tmp_path: Path,
) -> None:
    said = run(tmp_path, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120")
    assert said[:2] == ["imported", "true"]
    until(lambda: has_ended(int(said[2])), "the end of the server")


def test_no_server_is_started_if_an_address_is_configured(tmp_path: Path) -> None:
    assert run(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api") == ["imported"]
