"""What a process does while Prefect's temporary server starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys, urllib.request
from flows.temporary_server import start_server

start_server(lambda: print("imported"))
if module := sys.modules.get("prefect.server.api.server"):
    print(urllib.request.urlopen(f"{module.SubprocessASGIServer().api_url}/health", timeout=5).read().decode())
"""


def run(home: Path, **environment: str) -> list[str]:
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=without | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"} | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_server_answers_when_the_work_beside_its_start_is_done(tmp_path: Path) -> None:
    assert run(tmp_path, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120") == ["imported", "true"]


def test_none_is_started_where_an_address_is_configured(tmp_path: Path) -> None:
    assert run(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api") == ["imported"]
