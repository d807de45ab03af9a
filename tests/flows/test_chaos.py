"""Cubes that are built on three hosts while signals arrive, cables are cut, workers and the scheduler are lost."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.servers.hosts import hosts, reason_without_hosts
from tests.servers.processes import ROOT, environment

ROUNDS, SEED = 40, 1


@pytest.mark.deep
@pytest.mark.timeout(7200)
@pytest.mark.skipif(bool(reason_without_hosts()), reason=reason_without_hosts() or "hosts")
def test_a_cube_equals_an_undisturbed_one_whatever_happens_and_nothing_is_left(
    sample_archive: Path, tmp_path: Path
) -> None:
    log = tmp_path / "rounds.log"
    with hosts(2) as (head, others), log.open("wb") as output:
        given = json.dumps([asdict(host) for host in (head, *others)])
        driver = [sys.executable, "-m", "tests.flows.chaos", sample_archive, tmp_path, ROUNDS, SEED, given]
        env = environment({"ARDCUBE_TEST_HOST": head.address})
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            del env[name]
        subprocess.run(head.command(driver), env=env, cwd=ROOT, stdout=output, stderr=output, check=False)
    said = log.read_text()
    assert said.endswith(f"{ROUNDS} rounds: all cubes equal, nothing left behind\n"), said[-5000:]
