"""A store, a catalogue or workers that are unreachable for a while: the run reports it, waits and continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardcube.catalog import stac_api
from ardcube.errors import OutageError
from ardcube.runtime import outages
from flows import workers
from flows.build_cube import build_cube
from tests.flows.jobs import environment_of, options, pixels, records, run_config, sample_cube
from tests.flows.remote import Remote
from tests.servers import processes
from tests.servers.earth_search import EarthSearch
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3, PrefectServer, dask_cluster, dask_worker, environment
from tests.servers.range_server import RangeServer
from tests.wait_for import until

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",), "cloud_mask": "none"}


@contextmanager
def command(arguments: Sequence[str], log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command that reports an outage after a second; kill it at the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.quick_silence", *arguments],
            stdout=output, stderr=output, cwd=processes.ROOT, env=environment(env), start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def flow_log(server: PrefectServer, cube: str) -> list[str]:
    """Return the log of the flow run that built a cube."""
    (run,) = server.ask("flow_runs/filter", {"flow_runs": {"name": {"like_": f"{cube} "}}})
    found = server.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200})
    return [entry["message"] for entry in found]


def test_a_run_waits_for_a_store_that_is_unreachable_reports_it_once_and_continues(
    sample_archive: Path, prefect_server: PrefectServer, tmp_path: Path, moto_s3: S3
) -> None:
    cube, uri, log = sample_cube(sample_archive, **SIX_CHUNKS), moto_s3.uri("outage.zarr"), tmp_path / "log"
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    env = {**credentials, "PREFECT_LOGGING_TO_API_ENABLED": "true", "COLUMNS": "300"}
    with FaultyProxy(moto_s3.endpoint_url) as proxy, environment_of(credentials):
        run = run_config(uri, storage_options={"endpoint_url": proxy.endpoint_url}, threads=1, batch_size=1, retries=0)
        with command(["build", *options(cube, run)], log, env) as process:
            until(lambda: proxy.requests("PUT", "*/chunks/*.json") or process.poll() is not None, log.read_text())
            proxy.stop()
            until(lambda: "does not answer" in log.read_text() or process.poll() is not None, "the report", 60)
            proxy.start()
            assert process.wait(120) == 0, log.read_text()
        lines = [line for line in log.read_text().splitlines() if line.startswith("s3://")]
        assert len(lines) == 2, lines
        assert lines[0].startswith(f"s3://{moto_s3.bucket}: does not answer")
        assert lines[0].endswith("waiting up to 15 minutes")
        assert lines[1].startswith(f"s3://{moto_s3.bucket}: available again after ")
        # A chunk that gets the first answer puts its name in front.
        until(
            lambda: (
                [line for said in flow_log(prefect_server, "outage") for line in lines if said.endswith(line)] == lines
            ),
            "both lines",
        )
        build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
        direct = {"endpoint_url": moto_s3.endpoint_url}
        assert pixels(uri, direct) == pixels(tmp_path / "undisturbed.zarr")
        assert {record.status for record in records(uri, direct).values()} == {"written"}


def test_a_run_waits_for_a_worker_when_all_are_killed_and_continues(
    sample_archive: Path, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    cube, log = sample_cube(sample_archive, **SIX_CHUNKS), tmp_path / "log"
    env = prefect_server.environment
    with dask_cluster(tmp_path, workers=1, env=env) as cluster:
        run = run_config(
            tmp_path / "cube.zarr", threads=None, batch_size=1, serverless_backend="dask",
            scheduler_address=cluster.address,
        )  # fmt: skip
        with command(["build", *options(cube, run)], log, {"COLUMNS": "300"}) as process:
            until(lambda: " written" in log.read_text() or process.poll() is not None, "the first chunk")
            os.kill(cluster.worker_pids[0], signal.SIGKILL)
            until(lambda: "has no worker" in log.read_text() or process.poll() is not None, "the report", 60)
            with dask_worker(cluster, "later", env=env):
                assert process.wait(120) == 0, log.read_text()
    lines = [line for line in log.read_text().splitlines() if line.startswith("tcp://")]
    assert len(lines) == 2, lines
    assert lines[0] == f"{cluster.address}: has no worker; waiting up to 15 minutes"
    assert lines[1].startswith(f"{cluster.address}: available again after ")
    assert len(records(tmp_path / "cube.zarr")) == 6


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report outages after half a second."""
    monkeypatch.setattr(outages, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(outages, "_LONGEST_PAUSE", 0.5)
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.5)


def test_a_run_waits_for_a_catalogue_that_stops_answering(
    sample_archive: Path,
    prefect_server: object,
    earth_search: Callable[..., EarthSearch],
    range_server: Callable[[Path], RangeServer],
    tmp_path: Path,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stac_api, "RETRY", stac_api.RETRY.new(total=0))
    remote = Remote.of(sample_archive, range_server(sample_archive))
    server = earth_search([remote.collection], remote.items)
    server.fail("v1/search", status=503, times=None, skip=1)

    def heal_once_reported() -> None:
        until(lambda: any("does not answer" in line for line in caplog.messages), "the report")
        server.heal()

    healer = threading.Thread(target=heal_once_reported)
    healer.start()
    cube = sample_cube(server.url, **SIX_CHUNKS, start_date="2023-06-01")
    summary = build_cube(cube, run_config(tmp_path / "cube.zarr"))
    healer.join(30)
    assert summary.written == summary.chunks
    lines = [record.getMessage() for record in caplog.records if record.name == outages.logger.name]
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{server.url}: does not answer")
    assert lines[1].startswith(f"{server.url}: available again after ")


def test_a_store_that_stays_unreachable_for_longer_than_the_patience_stops_the_run_with_one_line(
    sample_archive: Path, prefect_server: object, tmp_path: Path, moto_s3: S3, quick: None
) -> None:
    cube, uri = sample_cube(sample_archive, **SIX_CHUNKS), moto_s3.uri("cube.zarr")
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    with FaultyProxy(moto_s3.endpoint_url) as proxy, environment_of(credentials):
        storage = {"endpoint_url": proxy.endpoint_url, "config_kwargs": {"retries": {"max_attempts": 1}}}
        for method in ("PUT", "GET", "HEAD", "POST"):
            proxy.fail("reset", method=method, times=None, path="*cube.zarr.ardcube/chunks*")
        with pytest.raises(OutageError, match=rf"^s3://{moto_s3.bucket}: does not answer for \d+ s \(.*\); run again"):
            build_cube(cube, run_config(uri, storage_options=storage, patience="2 s", retries=0))
