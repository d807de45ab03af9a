"""The units of systemd: systemd accepts them, their commands exist and end runs, and they contain no secret."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ardcube.storage.place import Place
from tests.deployments.deployed import Deployed
from tests.deployments.parameter_sets import DEPLOYMENTS
from tests.leases import current_claim
from tests.servers.processes import ROOT, has_ended
from tests.wait_for import until

UNITS = sorted((ROOT / "deployments").glob("*.service"))


def test_systemd_accepts_the_units_of_a_server_and_a_worker(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        reason = "no systemd-analyze; install it (Debian, Ubuntu: apt-get install systemd)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    assert [unit.name for unit in UNITS] == ["ardcube-server.service", "ardcube-worker.service"]
    for unit in UNITS:  # systemd looks for the executables
        text = unit.read_text().replace("/opt/ardcube/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text.replace("/opt/ardcube", str(ROOT)))
    done = subprocess.run(
        ["systemd-analyze", "verify", *tmp_path.iterdir()], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "ardcube-" in line]  # it also reads units of the machine
    assert (done.returncode, ours) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_command_of_a_unit_exists_with_its_options(unit: Path) -> None:
    (line,) = (line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    words = line.removeprefix("ExecStart=").split()
    assert words[0] == "/opt/ardcube/.venv/bin/prefect"
    help_text = subprocess.run(
        [sys.executable, "-m", "prefect", *words[1:3], "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(word in help_text for word in words if word.startswith("--"))


def test_the_worker_starts_when_the_server_answers() -> None:
    server, worker = (unit.read_text() for unit in UNITS)
    assert "After=network-online.target ardcube-server.service" in worker
    assert "api/health" in next(line for line in server.splitlines() if line.startswith("ExecStartPost="))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_no_privileges_and_reads_secrets_from_a_file_of_root(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert {"User=ardcube", "NoNewPrivileges=true", "ProtectSystem=full"} <= set(lines)
    assert any(line.startswith("EnvironmentFile=-/etc/ardcube/") for line in lines)


@pytest.mark.slow
def test_the_stop_of_the_worker_ends_its_run_with_a_final_state_and_without_a_lease(
    deployed: Deployed, sample_archive: Path, tmp_path: Path
) -> None:
    (unit,) = (unit for unit in UNITS if "worker" in unit.name)
    (line,) = (line for line in unit.read_text().splitlines() if line.startswith("ExecStop="))
    parameters = DEPLOYMENTS["sample"]["parameters"]
    cube = {**parameters["cube"], "stac_url": str(sample_archive), "chunk_size": 16}
    uri, ledger = str(tmp_path / "cube.zarr"), Place.at(str(tmp_path / "cube.zarr.ardcube"), {})
    status, run = deployed.start("sample", {"cube": cube, "run": {**parameters["run"], "fsspec_uri": uri}})
    assert status < 300, run
    until(lambda: any((tmp_path / "cube.zarr.ardcube").glob("chunks/*/*")), "the first record", 300)
    assert current_claim(ledger) is not None
    stop = shlex.split(line.removeprefix("ExecStop="))
    env = {**os.environ, "MAINPID": str(deployed.worker.pid)}
    subprocess.run(stop, env=env, timeout=60, check=True)
    state = deployed.ask(f"flow_runs/{run['id']}")[1]["state"]
    assert state["type"] in ("CRASHED", "FAILED")  # pydantic can make another error of the signal
    assert "ignal" in state["message"]
    assert current_claim(ledger) is None
    assert not has_ended(deployed.worker.pid)
