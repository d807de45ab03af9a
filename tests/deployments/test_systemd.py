"""The units of systemd: systemd accepts them, their commands exist, and they contain no secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.processes import ROOT

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
