"""Two runs on one store: one that was paused past its lease wakes to find it taken, and writes nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ardcube.lease.acquire import standing_claim
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from tests.flows.jobs import options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, Remote
from tests.servers.processes import S3, dask_cluster, environment, process_state
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = pytest.mark.usefixtures("prefect_server")

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}


@contextmanager
def started(arguments: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with a lease that expires after seconds; killed at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.quick_lease", *arguments],
            stdout=output,
            stderr=output,
            env=environment({**EACH_READ_IS_A_REQUEST, **env}),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def pause_between_renewals(pid: int, ledger: Ledger) -> None:
    """Stop a run, but not in the middle of a renewal: it would keep the lock of the lease, and nobody could take it."""

    def paused() -> bool:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: process_state(pid) == "T", "it is stopped")
        if not Path(ledger.place.file("lease.json.lock.part")).exists():
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(paused, "it is stopped between two renewals")


def wait_past_the_lease_of(ledger: Ledger) -> None:
    """Until the claim of a run that is paused counts no more: the next one starts in two seconds or in ten."""

    def held() -> bool:
        claim = standing_claim(ledger.place)
        assert claim is not None
        return claim.judge(datetime.now(UTC), "alive") == "held"

    until(lambda: not held(), "its lease expires")


def everything(*places: Place) -> dict[str, Any]:
    """What the filesystem says of each file: another thing once it was written, with whatever content."""
    return {place.file(name): place.stamp(name) for place in places for name in place.list() if name != "lease.json"}


@pytest.fixture(params=["folder", pytest.param("S3", marks=pytest.mark.deep)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any], dict[str, str]]:
    """URI of a store, its options, and the environment that opens it."""
    if request.param == "folder":
        return str(tmp_path / "cube.zarr"), {}, {}
    s3: S3 = request.getfixturevalue("moto_s3")
    env = {name: value for name, value in s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    return s3.uri("cube.zarr"), {"endpoint_url": s3.endpoint_url}, env


def test_a_run_that_was_paused_past_its_lease_wakes_and_writes_nothing_more(
    sample_archive: Path,
    range_server: Callable[[Path], RangeServer],
    tmp_path: Path,
    where: tuple[str, dict[str, Any], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, storage, env = where
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    remote = Remote.of(sample_archive, range_server(sample_archive))
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1, storage_options=storage)
    place = Place.at(uri, storage)
    ledger = Ledger.of_store(place)
    slow = remote.files.fail("*_202306*", times=None, kind="delay", seconds=0.2)
    with started(["build", *options(cube, run)], tmp_path / "log-0", env) as first:
        until(lambda: slow.fired or first.poll() is not None, "it is at work on June")
        pause_between_renewals(first.pid, ledger)
        before = {key for key, record in ledger.records().items() if record.status in DONE}
        remote.files.heal()
        wait_past_the_lease_of(ledger)
        with started(["build", *options(cube, run)], tmp_path / "log-1", env) as second:
            assert second.wait(120) == 0, (tmp_path / "log-1").read_text()
        assert "took over the lease of" in (tmp_path / "log-1").read_text()
        finished, stamps = records(uri, storage), everything(place, ledger.place)
        assert len(finished) == 6
        assert {len(record.attempts) for record in finished.values()} == {1}

        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(120) == 1
    said = (tmp_path / "log-0").read_text()
    assert "lease.json" in said.splitlines()[-1]
    assert everything(place, ledger.place) == stamps, "the first wrote, moved and removed nothing"
    assert before <= set(finished)
    assert standing_claim(ledger.place) is None
    build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri, storage) == pixels(tmp_path / "undisturbed.zarr")


@pytest.mark.deep
def test_workers_that_outlive_their_run_write_nothing_once_another_has_the_cube(
    sample_archive: Path, range_server: Callable[[Path], RangeServer], tmp_path: Path
) -> None:
    uri = str(tmp_path / "cube.zarr")
    remote = Remote.of(sample_archive, range_server(sample_archive))
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    place = Place.at(uri)
    ledger = Ledger.of_store(place)
    slow = remote.files.fail("*_202306*", times=None, kind="delay", seconds=0.5)
    with dask_cluster(tmp_path, env=EACH_READ_IS_A_REQUEST) as cluster:
        on_dask = run_config(
            uri, serverless_backend="dask", scheduler_address=cluster.address, threads=None, batch_size=1
        )
        with started(["build", *options(cube, on_dask)], tmp_path / "log-0", {}) as first:
            until(lambda: slow.fired or first.poll() is not None, "workers are at work on June")
            pause_between_renewals(first.pid, ledger)
            for pid in cluster.worker_pids:
                os.kill(pid, signal.SIGSTOP)
            remote.files.heal()
            wait_past_the_lease_of(ledger)
            with started(["build", *options(cube, run_config(uri))], tmp_path / "log-1", {}) as second:
                assert second.wait(120) == 0, (tmp_path / "log-1").read_text()
            finished, stamps = records(uri), everything(place, ledger.place)
            assert len(finished) == 6
            for pid in cluster.worker_pids:
                os.kill(pid, signal.SIGCONT)
            until(lambda: "nothing is written for it" in said_in(cluster.logs), "a worker finds the cube taken")
            os.kill(first.pid, signal.SIGCONT)
            assert first.wait(120) == 1
    assert everything(place, ledger.place) == stamps
    build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")


def said_in(folder: Path) -> str:
    return "".join(log.read_text(errors="replace") for log in folder.glob("*.log"))
