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
from prefect.settings import get_current_settings
import flows.temporary_server

servers = []
start = flows.temporary_server._start
flows.temporary_server._start = lambda *given: servers.append(start(*given)) or servers[0]

def imported():
    alive = [server for server in servers if server.returncode is None]
    print("imported", *[f"{server.pid} {os.getsid(server.pid)}" for server in alive], flush=True)
    if sys.argv[1] == "early":
        os.kill(os.getpid(), signal.SIGKILL)

flows.temporary_server.start_server(meanwhile=imported)
if servers and servers[0].returncode is not None:
    print("killed", servers[0].pid, get_current_settings().api.url)
elif servers:
    print(urllib.request.urlopen(f"{os.environ['PREFECT_API_URL']}/health", timeout=5).read().decode())
    print(os.environ["PREFECT_API_URL"] == get_current_settings().api.url, "prefect.server" in sys.modules, flush=True)
    mapped = open(f"/proc/{servers[0].pid}/maps").read()
    print("asyncpg" in mapped, "tornado" in mapped, flush=True)  # Dask imports tornado
if sys.argv[1] == "late":
    os.kill(os.getpid(), signal.SIGKILL)
"""


PATIENT = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}


def run(home: Path, killed: str = "never", **environment: str) -> list[str]:
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, killed],
        env=without | {"PREFECT_HOME": str(home), **PATIENT} | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines()[-1:]]


def test_the_server_answers_in_its_own_session_and_ends_with_a_killed_process(prefect_home: Path) -> None:
    said = run(prefect_home, "late")
    word, pid, session = said[0].split()
    assert (word, session, said[1:]) == ("imported", pid, ["true", "True False", "True False"])
    until(lambda: has_ended(int(pid)), "the end of the server")


def test_the_server_ends_with_a_process_that_is_killed_before_the_server_answers(tmp_path: Path) -> None:
    (said,) = run(tmp_path, "early")
    until(lambda: has_ended(int(said.split()[1])), "the end of the server", seconds=20)


def test_a_server_that_does_not_start_is_reported_with_its_own_words(tmp_path: Path) -> None:
    database = "sqlite+aiosqlite:////dev/null/no.db"
    error = run(tmp_path, PREFECT_API_DATABASE_CONNECTION_URL=database)[-1]
    assert "Prefect's temporary server did not start: " in error
    assert "unable to open database file" in error
    assert error.endswith("; set PREFECT_API_URL to a server that runs")


def test_no_server_is_started_if_an_address_is_configured(tmp_path: Path) -> None:
    assert run(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api") == ["imported"]


def test_no_server_remains_if_a_profile_names_an_address(tmp_path: Path) -> None:
    profile = 'active = "here"\n[profiles.here]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    imported, killed = run(tmp_path)
    assert imported == "imported"
    assert killed.endswith(" http://127.0.0.1:9/api")
    assert has_ended(int(killed.split()[1]))
