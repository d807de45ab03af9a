"""Runs that are killed, interrupted or fail, and the next run, which continues them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client

from ardcube.chunk import build
from ardcube.ledger.record import ChunkRecord
from flows.build_cube import build_cube
from tests.flows import jobs
from tests.flows.jobs import Pixels, options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, QUICK_RETRIES, Remote
from tests.servers import processes
from tests.servers.range_server import RangeServer

pytestmark = pytest.mark.usefixtures("prefect_server")

Serve = Callable[[Path], RangeServer]

# Two tiles, three periods. Chunks are built tile by tile, so when four are done, nothing is left to do in May.
SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}


@pytest.fixture
def remote(sample_archive: Path, range_server: Serve) -> Remote:
    """The sample archive over HTTP."""
    return Remote.of(sample_archive, range_server(sample_archive))


@pytest.fixture(scope="module")
def undisturbed(sample_archive: Path, prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Pixels of an undisturbed build."""
    uri = tmp_path_factory.mktemp("undisturbed") / "cube.zarr"
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run_config(uri))
    return pixels(uri)


def finished(uri: Path) -> dict[Path, bytes]:
    """Return the record files of the chunks that are done."""
    files = Path(f"{uri}.ardcube").glob("chunks/*/*.json")
    contents = {file: file.read_bytes() for file in files}
    return {file: content for file, content in contents.items() if ChunkRecord.from_json(content).status != "failed"}


def wait_for(uri: Path, chunks: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a number of chunks are done while the process runs."""
    processes.wait_until(lambda: len(finished(uri)) >= chunks, "build", seconds=120, process=process, log=log)


@contextmanager
def after_failures(attempts: int, call: Callable[[], None]) -> Iterator[None]:
    """Call a function before the attempt that follows a number of failed ones: each is logged before it is recorded.

    Faults cannot be counted in requests, because libraries decide how many requests an attempt takes.
    """

    class Failures(logging.Handler):
        seen = 0

        def emit(self, record: logging.LogRecord) -> None:
            if " attempt %d failed" in record.msg:
                self.seen += 1
                if self.seen == attempts:
                    call()

    logger, handler = logging.getLogger(build.__name__), Failures()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "ctrl-c"])
def test_a_stopped_run_is_finished_by_the_next_run_without_reading_a_file_twice(
    remote: Remote, undisturbed: Pixels, tmp_path: Path, ending: signal.Signals
) -> None:
    uri, log = tmp_path / "cube.zarr", tmp_path / "log"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1)
    remote.files.fail("*_202306*", times=None, kind="delay", seconds=0.5)  # June takes long
    process = jobs.start(["build", *options(cube, run)], log, EACH_READ_IS_A_REQUEST)
    try:
        wait_for(uri, 4, process, log)
        os.killpg(process.pid, ending)
        code = process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done = finished(uri)
    assert 4 <= len(done) < 6
    before = {record.key: record for record in map(ChunkRecord.from_json, done.values())}
    if ending == signal.SIGINT:
        assert code == 130
        assert log.read_text().splitlines()[-1] == "ardcube: interrupted; run the same command again to continue"
        assert "Traceback" not in log.read_text()

    may = {scene for record in before.values() if record.key.period == "2023-05" for scene in record.scenes}
    assert all(remote.asked(scene) for scene in may)
    remote.files.heal()
    remote.files.reset()
    summary = build_cube(cube, run)
    assert (summary.already_done, summary.written) == (len(done), 6 - len(done))
    after = records(uri)
    assert {key: after[key].to_json() for key in before} == {key: before[key].to_json() for key in before}
    assert [len(record.attempts) for record in after.values()] == [1] * 6
    assert remote.files.requests
    assert sum(remote.asked(scene) for scene in may) == 0
    assert pixels(uri) == undisturbed


def test_a_chunk_that_fails_twice_and_then_works_is_written_with_its_three_attempts(
    remote: Remote, sample_archive: Path, tmp_path: Path
) -> None:
    one_chunk = {"end_date": "2023-05-31", "chunk_size": 400, "bands": ("red",), "cloud_mask": "none"}
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **one_chunk)
    broken = f"{remote.items[0]['id']}/B04.tif"
    fault = remote.files.fail(broken, times=None, kind="truncate")
    with after_failures(2, remote.files.heal):
        summary = build_cube(cube, run_config(tmp_path / "cube.zarr", threads=1, retries=3, reader="gdal"))
    assert fault.fired >= 2
    assert (summary.written, summary.failed, summary.retried) == (1, 0, 1)
    (record,) = records(tmp_path / "cube.zarr").values()
    assert record.status == "written"
    assert len(record.attempts) == 3
    first, second, third = (attempt.error for attempt in record.attempts)
    for error in (first, second):
        assert error is not None
        assert error.startswith("TransientError: ")
        assert broken in error
    assert third is None
    build_cube(sample_cube(sample_archive, **one_chunk), run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(tmp_path / "cube.zarr") == pixels(tmp_path / "undisturbed.zarr")


def test_files_that_always_fail_are_reported_and_the_next_run_builds_only_their_chunks(
    remote: Remote, sample_archive: Path, tmp_path: Path
) -> None:
    a_chunk_per_month = {"chunk_size": 400, "bands": ("red",), "cloud_mask": "none"}
    uri = tmp_path / "cube.zarr"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **a_chunk_per_month)
    run = run_config(uri, retries=2)
    missing = next(item["id"] for item in remote.items if "T33TTM_202305" in item["id"])
    busy = next(item["id"] for item in remote.items if "T33TTM_202307" in item["id"])
    remote.files.fail(f"{missing}/B04.tif", times=None, status=404)
    server_error = remote.files.fail(f"{busy}/B04.tif", times=None, status=500)

    failed = jobs.run(["build", *options(cube, run)], QUICK_RETRIES)
    assert failed.returncode == 1
    assert server_error.fired >= 6, "three attempts, in each of which GDAL tried at least twice"
    shown = " ".join(failed.stdout.replace("│", " ").split())
    assert "1 written, 0 empty, 2 failed" in shown
    assert missing in shown
    assert busy in shown
    (line,) = failed.stderr.splitlines()
    assert line.startswith("ardcube: 2 of 3 chunks failed: ")
    assert f"scene {missing}: " in line
    assert "replace the file, or add --skip-bad-scenes 1" in line
    assert line.endswith("; run again to build only these")
    assert failed.stdout.count(" failed: SceneError: ") == 1
    assert "Traceback" not in failed.stdout
    before = {key.period: record for key, record in records(uri).items()}
    assert {period: record.status for period, record in before.items()} == {
        "2023-05": "failed", "2023-06": "written", "2023-07": "failed",
    }  # fmt: skip
    assert [len(before[period].attempts) for period in sorted(before)] == [1, 1, 3]
    assert f"{missing}/B04.tif" in (before["2023-05"].error or "")
    assert f"{busy}/B04.tif" in (before["2023-07"].error or "")

    remote.files.heal()
    repaired = build_cube(cube, run)
    assert (repaired.already_done, repaired.written) == (1, 2)
    after = {key.period: record for key, record in records(uri).items()}
    assert after["2023-06"] == before["2023-06"]
    for period in ("2023-05", "2023-07"):
        assert after[period].status == "written"
        assert after[period].attempts[:-1] == before[period].attempts
    build_cube(sample_cube(sample_archive, **a_chunk_per_month), run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")


def test_a_killed_worker_costs_no_chunk(remote: Remote, undisturbed: Pixels, tmp_path: Path) -> None:
    uri = tmp_path / "cube.zarr"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    remote.files.fail("*_202306*", times=None, kind="delay", seconds=0.15)
    with processes.dask_cluster(tmp_path, env=EACH_READ_IS_A_REQUEST) as cluster, ThreadPoolExecutor(1) as pool:
        run = run_config(uri, batch_size=1, threads=None, serverless_backend="dask", scheduler_address=cluster.address)
        killing = pool.submit(kill_a_busy_worker, cluster.address, uri)
        summary = build_cube(cube, run)
        assert killing.result() in cluster.worker_pids
    assert (summary.written, summary.failed) == (6, 0)
    assert pixels(uri) == undisturbed


def kill_a_busy_worker(scheduler: str, uri: Path) -> int:
    """Kill a worker that builds a chunk once another chunk is done; return the id of its process."""
    end = time.monotonic() + 120
    with Client(scheduler, set_as_default=False) as client:
        pids = client.run(os.getpid)
        while time.monotonic() < end:
            if finished(uri):
                for address, tasks in client.processing().items():
                    if tasks:
                        os.kill(pids[address], signal.SIGKILL)
                        return int(pids[address])
            time.sleep(0.02)
    raise AssertionError("no worker had anything to do")
