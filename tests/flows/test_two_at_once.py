"""Two runs on one store: a run that was paused and has lost its lease writes nothing when it continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from tests.flows.jobs import options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, Remote
from tests.leases import current_claim
from tests.servers.processes import S3, dask_cluster, environment, process_state
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = pytest.mark.usefixtures("prefect_server")

AS_ON_A_TERMINAL = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
"""As the command sets it, which here would be too late: `quick_lease` imports Prefect first."""
SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}


@contextmanager
def started(arguments: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command with a lease of a few seconds, and kill it at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.quick_lease", *arguments],
            stdout=output,
            stderr=output,
            env=environment({**EACH_READ_IS_A_REQUEST, **AS_ON_A_TERMINAL, **env}),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def pause(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: process_state(pid) == "T", "the process is stopped")


def everything(*places: Place) -> dict[str, Any]:
    """Return the metadata of each file, which differ after each write."""
    return {place.file(name): place.stamp(name) for place in places for name in place.list() if name != "lease.json"}


@pytest.fixture(params=["folder", pytest.param("S3", marks=pytest.mark.deep)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return the URI of a store, its options, and the environment that opens it."""
    if request.param == "folder":
        return str(tmp_path / "cube.zarr"), {}, {}
    s3: S3 = request.getfixturevalue("moto_s3")
    env = {name: value for name, value in s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    return s3.uri("cube.zarr"), {"endpoint_url": s3.endpoint_url}, env


def test_a_paused_run_that_has_lost_its_lease_writes_nothing_when_it_continues(
    sample_archive: Path,
    range_server: Callable[[Path], RangeServer],
    tmp_path: Path,
    store: tuple[str, dict[str, Any], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, storage, env = store
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    remote = Remote.of(sample_archive, range_server(sample_archive))
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1, storage_options=storage)
    place = Place.at(uri, storage)
    ledger = Ledger.of_store(place)
    slow = remote.files.fail("*_202306*", times=None, kind="delay", seconds=0.2)
    with started(["build", *options(cube, run)], tmp_path / "log-0", env) as first:
        until(lambda: slow.fired or first.poll() is not None, "it builds June")
        pause(first.pid)
        before = {key for key, record in ledger.records().items() if record.status in DONE}
        remote.files.heal()
        # On a disk a paused process keeps the lock. From another machine, which is here one with another temporary
        # folder, its lease on S3 expires.
        elsewhere = {**env, "TMPDIR": str(tmp_path)}
        how = run.model_copy(update={"break_lease": place.is_local})
        with started(["build", *options(cube, how)], tmp_path / "log-1", elsewhere) as second:
            assert second.wait(120) == 0, (tmp_path / "log-1").read_text()
        verb = "broke" if place.is_local else "took over"
        assert f"warning  {verb} the lease of" in (tmp_path / "log-1").read_text()
        finished, stamps = records(uri, storage), everything(place, ledger.place)
        assert len(finished) == 6
        assert {len(record.attempts) for record in finished.values()} == {1}

        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(120) == 1
    assert "lease.json" in (tmp_path / "log-0").read_text().splitlines()[-1]
    assert everything(place, ledger.place) == stamps, "the first run wrote, moved and removed nothing"
    assert before <= set(finished)
    assert current_claim(ledger.place) is None
    build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri, storage) == pixels(tmp_path / "undisturbed.zarr")


@pytest.mark.deep
def test_workers_that_outlive_their_run_write_nothing_for_it_after_another_has_the_cube(
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
            until(lambda: slow.fired or first.poll() is not None, "workers build June")
            pause(first.pid)
            for pid in cluster.worker_pids:
                os.kill(pid, signal.SIGSTOP)
            remote.files.heal()
            with started(
                ["build", *options(cube, run_config(uri, break_lease=True))], tmp_path / "log-1", {}
            ) as second:
                assert second.wait(120) == 0, (tmp_path / "log-1").read_text()
            finished, stamps = records(uri), everything(place, ledger.place)
            assert len(finished) == 6
            for pid in cluster.worker_pids:
                os.kill(pid, signal.SIGCONT)
            until(
                lambda: "nothing more is written for this run" in text_of(cluster.logs), "a worker finds the lease lost"
            )
            os.kill(first.pid, signal.SIGCONT)
            assert first.wait(120) == 1
    assert everything(place, ledger.place) == stamps
    build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")


def text_of(folder: Path) -> str:
    return "".join(log.read_text(errors="replace") for log in folder.glob("*.log"))
