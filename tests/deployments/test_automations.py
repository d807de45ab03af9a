"""The shipped automations on a real server: runs whose process has ended, and runs that no worker takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from prefect.blocks.system import Secret

from hooks.suspension import SUSPENDED
from tests.deployments.parameter_sets import DEPLOYMENTS
from tests.servers.inbox import Inbox, open_inbox
from tests.servers.processes import ROOT, PrefectServer, answers, environment
from tests.wait_for import until

FOLDER = ROOT / "deployments"
ZOMBIES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "zombies.yaml").read_text())["automations"]
HEARTBEAT = "prefect.flow-run.heartbeat"


@dataclass(frozen=True, slots=True)
class Automated:
    """A server with the shipped automations."""

    server: PrefectServer
    inbox: Inbox
    late: str
    """Run that no worker takes."""


def run_python(server: PrefectServer, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the settings of a server."""
    return subprocess.run(
        [sys.executable, *words], env=environment(server.environment), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def automated(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Automated]:
    """A server with the shipped automations, which wait for ten seconds, the least that Prefect allows."""
    folder = tmp_path_factory.mktemp("automations")
    with open_inbox() as inbox:
        for name in ("zombies", "automations"):
            text = (FOLDER / f"{name}.yaml").read_text()
            (folder / f"{name}.yaml").write_text(re.sub(r"within: [1-9]\d+", "within: 10", text))
        shutil.copy(FOLDER / "notify.py", folder)
        block = inbox.save_block()
        for words in (
            ["-m", "prefect", "automation", "create", "--from-file", str(folder / "zombies.yaml")],
            [str(folder / "notify.py"), block],
            [str(folder / "notify.py"), block],  # replaces the automations of the first time
        ):
            done = run_python(prefect_server, *words)
            assert done.returncode == 0, done.stdout + done.stderr
        scheduled = {"scheduled_time": datetime.now(UTC).isoformat()}
        late = start(prefect_server, {"type": "SCHEDULED", "name": "Late", "state_details": scheduled})
        yield Automated(prefect_server, inbox, late)
        for automation in prefect_server.ask("automations/filter", {}):
            url = f"{prefect_server.api_url}/automations/{automation['id']}"
            with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30):
                pass


def start(server: PrefectServer, state: dict[str, Any], tag: str = "ardcube") -> str:
    """Create a run in a state; return its id."""
    flow = server.ask("flows/", {"name": "build-cube"})["id"]
    name = f"run-{uuid.uuid4().hex[:8]}"
    run = server.ask("flow_runs/", {"flow_id": flow, "name": name, "tags": [tag], "state": {"type": "PENDING"}})
    change(server, run["id"], state)
    return str(run["id"])


def change(server: PrefectServer, run: str, state: dict[str, Any]) -> None:
    server.ask(f"flow_runs/{run}/set_state", {"state": state, "force": True})


def emit(server: PrefectServer, run: str, event: str, tag: str = "ardcube") -> None:
    """Send an event as the process of a run does."""
    document = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}],
        "payload": {},
        "id": str(uuid.uuid4()),
    }
    until(lambda: answers(f"{server.api_url}/events", body=[document]) is not None, "the event is accepted")


def state(server: PrefectServer, run: str) -> str:
    return str(server.ask(f"flow_runs/{run}")["state"]["type"])


def test_runs_whose_process_has_ended_become_crashed_or_cancelled_and_others_do_not_change(
    automated: Automated,
) -> None:
    server = automated.server
    running = {"type": "RUNNING"}
    suspended = {"type": "PAUSED", "name": "Suspended"}
    silent, cancelled, suspending, other = (start(server, running) for _ in range(4))
    foreign = start(server, running, "other")
    for run in (silent, suspending):
        emit(server, run, HEARTBEAT)
    emit(server, foreign, HEARTBEAT, "other")
    change(server, cancelled, {"type": "CANCELLING"})
    change(server, suspending, suspended)
    emit(server, suspending, HEARTBEAT)  # the chunks in flight are built to their end
    emit(server, suspending, SUSPENDED)
    until(lambda: state(server, silent) == "CRASHED", "the silent run is crashed", 60)
    until(lambda: state(server, cancelled) == "CANCELLED", "the cancelled run is cancelled", 60)
    message = server.ask(f"flow_runs/{silent}")["state"]["message"]
    assert message == ZOMBIES[0]["actions"][0]["message"]
    assert [state(server, run) for run in (suspending, other, foreign)] == ["PAUSED", "RUNNING", "RUNNING"]


def test_automations_that_notify_are_created_once_and_for_a_block_that_can(automated: Automated) -> None:
    Secret(value="x").save("keys", overwrite=True, _sync=True)  # type: ignore[call-overload]
    known = sorted(automation["name"] for automation in automated.server.ask("automations/filter", {}))
    assert [name for name in known if "heartbeat" not in name and "cancelled" not in name] == [
        "ardcube run failed", "ardcube run late",
    ]  # fmt: skip
    for name, problem in (
        ("slack-webhook/operators", f"slack-webhook/operators is no block of the server {automated.server.api_url}"),
        ("inbox", "inbox is no block of the server"),
        ("secret/keys", "secret/keys is a block that sends no notifications"),
    ):
        done = run_python(automated.server, str(FOLDER / "notify.py"), name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert problem in done.stderr
        assert done.stderr.endswith("; choose one of custom-webhook/inbox\n")
    assert known == sorted(automation["name"] for automation in automated.server.ask("automations/filter", {}))


def test_a_run_that_no_worker_takes_is_notified(automated: Automated) -> None:
    name = automated.server.ask(f"flow_runs/{automated.late}")["name"]
    came = automated.inbox.came
    note = until(lambda: [note for note in came if "late" in note["subject"]], "a notification", 60)[0]
    assert note["subject"] == f"ardcube: {name} is late"
    assert f"/runs/flow-run/{automated.late}" in note["body"]
    assert "prefect worker start --pool ardcube" in note["body"]


def test_the_runs_of_every_deployment_report_often_enough() -> None:
    for deployment in DEPLOYMENTS.values():
        seconds = int(deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
        assert 3 * seconds == ZOMBIES[0]["trigger"]["within"]


def test_no_automation_needs_a_block_to_end_dead_runs() -> None:
    assert "BLOCK_ID" not in (FOLDER / "zombies.yaml").read_text()


def test_docs_name_both_files() -> None:
    named = set(re.findall(r"deployments/\w+\.yaml", (ROOT / "docs" / "operate.md").read_text()))
    assert named >= {"deployments/zombies.yaml", "deployments/automations.yaml"}
