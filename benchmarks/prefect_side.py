"""Run a Prefect server, and count the task runs and events of a flow run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.servers import processes

SETTLE_SECONDS = 200.0
"""Seconds until the wait for the server to store its events ends."""
QUIET_SECONDS = 60.0
"""Seconds without a change after which the server counts as done; it stores events about every second."""
STATES_OF_A_TASK_RUN = 3
"""Number of states, with one event each: pending, running, completed."""


@dataclass(frozen=True, slots=True)
class Services:
    """A server and its database."""

    database: str
    """`sqlite` or `postgresql`."""
    server: processes.PrefectServer
    database_pids: tuple[int, ...] = ()
    """Process ids of the database, if it is a separate process."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a flow that uses this server."""
        logging = {"PREFECT_LOGGING_TO_API_ENABLED": "true", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}
        return self.server.environment | logging


@contextmanager
def serving(database: str, folder: Path) -> Iterator[Services]:
    """Run a Prefect server on SQLite or PostgreSQL."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        pids: tuple[int, ...] = ()
        if database == "postgresql":
            url, pid = stack.enter_context(_postgresql(folder))
            pids = (pid,)
            stack.enter_context(_variable("PREFECT_SERVER_DATABASE_CONNECTION_URL", url))
        server = stack.enter_context(processes.prefect_server(folder))
        yield Services(database, server, pids)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Run PostgreSQL with a new database; yield its URL and process id."""
    data, port = Path(tempfile.mkdtemp(prefix="ardcube-postgres-")), processes.free_port()
    programs = _postgresql_programs()
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(data, "nobody")
        as_user = ["setpriv", "--reuid", "nobody", "--clear-groups"]
    subprocess.run(
        [*as_user, programs / "initdb", "-D", data / "db", "-U", "prefect", "--auth", "trust", "--no-sync"],
        check=True, capture_output=True, cwd=data,
    )  # fmt: skip
    command = [
        *as_user, programs / "postgres", "-D", data / "db", "-p", str(port), "-k", data, "-h", "127.0.0.1",
    ]  # fmt: skip
    log = folder / "postgresql.log"
    try:
        with processes.running(command, log) as process:
            ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect"]
            processes.wait_until(
                lambda: subprocess.run(ready, check=False).returncode == 0,
                "postgresql", seconds=60, process=process, log=log,
            )  # fmt: skip
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres", process.pid
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _postgresql_programs() -> Path:
    """Return the folder of PostgreSQL's programs.

    Debian does not put it on the path.
    """
    found = [Path(name).resolve().parent for name in (shutil.which("initdb"),) if name]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise RuntimeError("PostgreSQL is missing; install it (Debian, Ubuntu: apt-get install postgresql)")
    return found[-1]


def latest_flow_run(services: Services) -> str:
    """Return the id of the flow run that started last.

    Scheduled runs have not started, and do not count.
    """
    started = {"flow_runs": {"start_time": {"is_null_": False}}, "sort": "START_TIME_DESC", "limit": 1}
    found: str = ask(services, "flow_runs/filter", started)[0]["id"]
    return found


def submitted(printed: Path) -> int:
    """Return the number of submitted task runs in the output of a flow.

    The log at the server is incomplete, because Prefect drops lines that it cannot send.
    """
    found = re.search(r"\d+ chunks went to workers in (\d+) task runs", printed.read_text())
    if not found:
        raise RuntimeError(f"the flow does not say how many task runs it submitted, see {printed}")
    return int(found[1])


def settled(services: Services, flow_run: str, task_runs: int) -> tuple[dict[str, int], int]:
    """Wait until the server has stored all task runs and events.

    Stop waiting when nothing changes. Return task runs by state, and the number of events.
    """
    runs = {"flow_runs": {"id": {"any_": [flow_run]}}}
    events = {
        "filter": {
            "event": {"prefix": ["prefect.task-run."]},
            "any_resource": {"id": [f"prefect.flow-run.{flow_run}"]},
            "occurred": {"since": (datetime.now(UTC) - timedelta(days=1)).isoformat()},
        },
        "limit": 1,
    }
    states = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "SCHEDULED")
    end = changed = time.monotonic()
    end += SETTLE_SECONDS
    last: tuple[dict[str, int], int] = {}, 0
    while True:
        counts = {
            state: ask(services, "task_runs/count", {**runs, "task_runs": {"state": {"type": {"any_": [state]}}}})
            for state in states
        }
        kept = ask(services, "events/filter", events)["total"]
        found = {state: count for state, count in counts.items() if count}, kept
        now = time.monotonic()
        if found[0] == {"COMPLETED": task_runs} and kept >= STATES_OF_A_TASK_RUN * task_runs:
            return found
        if found != last:
            last, changed = found, now
        if now > end or now - changed > QUIET_SECONDS:
            return found
        time.sleep(0.5)


def ask(services: Services, path: str, body: Mapping[str, Any]) -> Any:
    """Send a POST request to the API of the server; return the answer."""
    request = urllib.request.Request(
        f"{services.server.api_url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
