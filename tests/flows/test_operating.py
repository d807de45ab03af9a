"""Runs in Prefect's UI: names, progress, artifacts, logs and states are correct, and a retry finishes a stopped run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ardcube.config import CubeConfig, RunConfig
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.retry_cube import retry_cube
from tests.flows.jobs import Pixels, pixels, records, run_config, sample_cube
from tests.flows.remote import QUICK_RETRIES, Remote
from tests.leases import current_claim
from tests.servers.inbox import Inbox, open_inbox
from tests.servers.processes import (
    ROOT,
    DaskCluster,
    PrefectServer,
    Service,
    dask_cluster,
    environment,
    has_ended,
    prefect_worker,
)
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
DEPLOYMENTS = {
    "name": "operating",
    "pull": [],
    "deployments": [
        {"name": "operating", "entrypoint": entrypoint, "tags": ["ardcube"], "work_pool": {"name": "operating"}}
        for entrypoint in ("flows.build_cube.build_cube", "flows.retry_cube.retry_cube")
    ],
}


@dataclass(frozen=True, slots=True)
class Operator:
    """A client of Prefect's API, and a worker that runs deployments."""

    server: PrefectServer
    worker: Service

    def ask(self, path: str, body: Any = None) -> Any:
        """Return an answer of the server, which is asked again while it is busy."""
        return self.server.ask(path, body)

    def start(self, flow: str, parameters: dict[str, Any]) -> str:
        """Start a run of a deployment; return its id."""
        deployment = self.ask(f"deployments/name/{flow}/operating")["id"]
        # The key keeps it one run if the request is repeated because the server was busy.
        body = {"parameters": parameters, "idempotency_key": uuid.uuid4().hex}
        return str(self.ask(f"deployments/{deployment}/create_flow_run", body)["id"])

    def build(self, cube: CubeConfig, run: RunConfig) -> str:
        return self.start("build-cube", {"cube": cube.model_dump(mode="json"), "run": run.model_dump(mode="json")})

    def retry(self, run: RunConfig) -> dict[str, Any]:
        return self.ended(self.start("retry-cube", {"run": run.model_dump(mode="json")}))

    def ended(self, flow_run: str) -> dict[str, Any]:
        """Wait until a run has ended; return it."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask(f"flow_runs/{flow_run}")
            return found if found["state_type"] in ENDED else None

        run: dict[str, Any] = until(look, f"the run ends: {self.worker.log.read_text()[-2000:]}")
        return run

    def artifacts(self, flow_run: str) -> dict[str, Any]:
        """Return the artifacts of a run by the end of their keys."""
        found = self.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [flow_run]}}})
        return {entry["key"].removeprefix("cube-"): entry for entry in found if entry["key"]}

    def task_names(self, flow_run: str) -> set[str]:
        found = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
        return {entry["name"] for entry in found}

    def log(self, flow_run: str) -> list[str]:
        found = self.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run]}}, "limit": 200})
        return [entry["message"] for entry in found]


@pytest.fixture(scope="module")
def operator(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Deploy both flows. The worker sends the logs of its runs to the server, as it does by default."""
    folder = tmp_path_factory.mktemp("operating")
    (folder / "prefect.yaml").write_text(yaml.safe_dump(DEPLOYMENTS))
    env = {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_TO_API_ENABLED": "true",
        **QUICK_RETRIES,
    }
    with prefect_worker(prefect_server, folder, pool="operating", env=env) as worker:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=folder, env=environment(prefect_server.environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield Operator(prefect_server, worker)


@pytest.fixture
def workers(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[DaskCluster]:
    """A Dask worker in a separate process, as on another machine."""
    env = {**prefect_server.environment, "PREFECT_LOGGING_TO_API_ENABLED": "true", **QUICK_RETRIES}
    with dask_cluster(tmp_path, workers=1, env=env) as cluster:
        yield cluster


@pytest.fixture
def remote(sample_archive: Path, range_server: Callable[[Path], RangeServer]) -> Remote:
    """The sample archive over HTTP."""
    return Remote.of(sample_archive, range_server(sample_archive))


@pytest.fixture(scope="module")
def undisturbed(sample_archive: Path, prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Pixels of an undisturbed build."""
    uri = tmp_path_factory.mktemp("undisturbed") / "cube.zarr"
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run_config(uri))
    return pixels(uri)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A webhook on loopback."""
    with open_inbox() as inbox:
        yield inbox


@pytest.fixture
def automation(operator: Operator, inbox: Inbox) -> Inbox:
    """Create the automation of deployments/ with a notification to the inbox."""
    subprocess.run(
        [sys.executable, ROOT / "deployments" / "notify.py", inbox.save_block()],
        env=environment(operator.server.environment), check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return inbox


def test_a_failed_run_lists_its_failed_chunks_with_causes_and_a_retry_builds_them(
    operator: Operator, automation: Inbox, workers: DaskCluster, remote: Remote, undisturbed: Pixels, tmp_path: Path
) -> None:
    uri = tmp_path / "cube.zarr"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(
        uri, batch_size=1, retries=2, reader="gdal", price_per_core_hour=36, threads=None,
        serverless_backend="dask", scheduler_address=workers.address,
    )  # fmt: skip
    missing = next(item["id"] for item in remote.items if "T33TTM_202305" in item["id"])
    flaky = next(item["id"] for item in remote.items if "T33TTM_202307" in item["id"])
    remote.files.fail(f"{missing}/B04.tif", times=None, status=404)
    # The first two GETs read the header, the third one pixels. The environment lets GDAL repeat a request once.
    remote.files.fail(f"{flaky}/B04.tif", times=6, status=503, method="GET", skip=2)
    flow_run = operator.build(cube, run)
    ended = operator.ended(flow_run)

    assert ended["state_type"] == "FAILED"
    assert "ChunksFailedError: " in ended["state"]["message"]
    assert f"scene {missing}: " in ended["state"]["message"]
    assert ended["name"] == "cube 2023-05..2023-07 [11.96 46.85 12.04 46.89]"
    failed = [str(key) for key, record in records(uri).items() if record.status == "failed"]
    retried = [str(key) for key, record in records(uri).items() if len(record.attempts) == 2]
    assert failed
    assert retried
    wanted = {f"cube {failed[0].replace('_', ' ')}", f"cube {retried[0].replace('_', ' ')}, attempt 2"}
    until(lambda: wanted <= operator.task_names(flow_run), "both task runs at the server")

    artifacts = operator.artifacts(flow_run)
    assert artifacts["progress"]["data"] == 100.0
    assert f"{len(failed)} failed" in artifacts["progress"]["description"]
    assert {kind["type"] for kind in artifacts.values()} == {"progress", "markdown"}
    problems = artifacts["failed-and-retried"]["data"]
    bad, recovered = re.findall(r"^\* \*\*(\d+) chunks?\*\*, the first is `(\S+)`: (.*)$", problems, re.MULTILINE)
    assert (int(bad[0]), bad[1] in failed) == (len(failed), True)
    assert f"{missing}/B04.tif" in bad[2]
    assert (int(recovered[0]), recovered[1] in retried) == (len(retried), True)
    assert "*Skip bad scenes* in the form" in problems
    assert f"ardcube retry {uri}" in problems
    assert artifacts["failed-and-retried"]["description"].startswith(f"{len(failed)} chunk")
    assert artifacts["summary"]["description"].startswith(f"Incomplete: {len(failed)} failed, ")
    page = artifacts["summary"]["data"]
    assert f"{len(failed)} failed" in page.splitlines()[0]
    assert f"xarray.open_zarr('{uri}')" in page
    assert "of 36 each" in page
    assert page.count("data:image/svg+xml;base64,") == 3

    log = until(
        lambda: [line for line in operator.log(flow_run) if "attempt 1 failed" in line], "log lines at the server"
    )
    assert any(line.startswith(f"{failed[0]}: attempt 1 failed: SceneError: ") for line in log)
    note = until(lambda: automation.came, "a notification")[0]
    assert note["subject"] == f"ardcube: {ended['name']} Failed"
    assert f"scene {missing}: " in note["body"]

    remote.files.heal()
    remote.files.reset()
    before = {key: record for key, record in records(uri).items() if record.status != "failed"}
    again = operator.retry(run)
    assert (again["name"], again["state_type"]) == ("retry cube", "COMPLETED")
    after = records(uri)
    assert {key: after[key] for key in before} == before
    assert all(len(after[key].attempts) == 2 for key in after if str(key) in failed)
    assert {request.path.split("/")[0] for request in remote.files.requests} <= {
        scene for key, record in after.items() if str(key) in failed for scene in record.scenes
    }
    assert pixels(uri) == undisturbed


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({"pause_reschedule": True}, id="from the UI", marks=pytest.mark.deep),
        pytest.param({}, id="without rescheduling"),
    ],
)
def test_a_suspended_run_ends_its_process_and_completes_the_cube_when_it_is_resumed(
    operator: Operator, remote: Remote, undisturbed: Pixels, tmp_path: Path, details: dict[str, Any]
) -> None:
    uri = tmp_path / "cube.zarr"
    ledger = Ledger.of_store(Place.at(str(uri))).place
    remote.files.fail("*_202306*", times=None, kind="delay", seconds=0.5)
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    flow_run = operator.build(cube, run_config(uri, threads=1, batch_size=1))
    until(lambda: list(uri.parent.glob("cube.zarr.ardcube/chunks/*/*.json")), "a chunk is done")
    claim = current_claim(ledger)
    assert claim is not None
    state = {"type": "PAUSED", "name": "Suspended", "state_details": details}
    operator.ask(f"flow_runs/{flow_run}/set_state", {"state": state, "force": True})
    until(lambda: has_ended(claim.pid), "the end of the process")
    assert current_claim(ledger) is None
    assert operator.ask(f"flow_runs/{flow_run}")["state"]["name"] == "Suspended"
    done = records(uri)
    assert 0 < len(done) < 6
    text = until(lambda: operator.artifacts(flow_run)["progress"]["description"], "the progress")
    assert re.fullmatch(r"\d of 6 chunks: \d written\n\nSuspended\. A resumed run builds the other chunks\.", text)

    remote.files.heal()
    operator.ask(f"flow_runs/{flow_run}/resume", {"run_input": {}})
    assert operator.ended(flow_run)["state_type"] == "COMPLETED"
    after = records(uri)
    assert {key: after[key] for key in done} == done, "no finished chunk was built twice"
    assert pixels(uri) == undisturbed


@pytest.mark.parametrize("ending", ["CANCELLED", "CRASHED"], ids=["cancelled from the UI", "killed"])
def test_a_stopped_run_is_reported_releases_its_lease_and_is_finished_by_a_retry(
    operator: Operator, remote: Remote, undisturbed: Pixels, tmp_path: Path, ending: str
) -> None:
    uri = tmp_path / "cube.zarr"
    ledger = Ledger.of_store(Place.at(str(uri))).place
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1)
    remote.files.fail("*_202306*", times=None, kind="delay", seconds=5)  # June takes longer than the test
    flow_run = operator.build(cube, run)
    until(lambda: list(uri.parent.glob("cube.zarr.ardcube/chunks/*/*.json")), "a chunk is done")
    claim = current_claim(ledger)
    assert claim is not None
    assert claim.run_id == flow_run
    if ending == "CANCELLED":
        operator.ask(f"flow_runs/{flow_run}/set_state", {"state": {"type": "CANCELLING"}})
    else:
        os.kill(claim.pid, signal.SIGKILL)
    assert operator.ended(flow_run)["state_type"] == ending

    page = until(lambda: operator.artifacts(flow_run).get("summary"), "the summary of the stopped run")["data"]
    assert page.splitlines()[0] == f"# cube: {ending.lower()}"
    assert f"ardcube retry {uri} --missing" in page
    until(lambda: current_claim(ledger) is None, "the release of the lease")
    until(lambda: has_ended(claim.pid), "the end of the process")
    done = records(uri)
    assert 0 < len(done) < 6
    about = operator.artifacts(flow_run)["summary"]["description"]
    assert about.startswith(f"{ending.capitalize()}: {len(done)} written, {6 - len(done)} not built yet. ")
    said = f"{ending.capitalize()}. Of the cube: {len(done)} written, {6 - len(done)} not built yet"
    until(lambda: operator.artifacts(flow_run)["progress"]["description"] == said, said)
    assert operator.artifacts(flow_run)["progress"]["data"] == round(100 * len(done) / 6, 1)
    assert {record.status for record in done.values()} == {"written"}, "a chunk in flight is not reported as failed"

    remote.files.heal()
    retry_cube(run, missing=True)
    after = records(uri)
    assert {key: after[key] for key in done} == done, "no finished chunk was built twice"
    assert pixels(uri) == undisturbed
