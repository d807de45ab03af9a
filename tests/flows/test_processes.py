"""Processes that are killed: a flow in each of its stages, workers, and the Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from ardcube.config import CubeConfig, RunConfig
from ardcube.ledger.in_flight import InFlightFile
from ardcube.ledger.ledger import Ledger
from ardcube.report.summary import ChunksFailedError
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.progress import ProgressReceiver, reporting
from tests.flows import jobs
from tests.flows.jobs import Pixels, environment_of, options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, Remote
from tests.leases import current_claim
from tests.servers import processes
from tests.servers.cable import Cable
from tests.servers.earth_search import EarthSearch
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = pytest.mark.usefixtures("prefect_server")

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
STAGES = ("search", "initialize", "chunks", "summary")
IN_CI = [("initialize", "SIGTERM"), ("summary", "SIGKILL")]
"""Endings that CI tests. Test_resume.py interrupts chunks, and test_signals.py a search."""
ENDINGS = [
    pytest.param(stage, name, id=f"{name} in {stage}", marks=() if (stage, name) in IN_CI else pytest.mark.deep)
    for stage in STAGES
    for name in ("SIGKILL", "SIGTERM", "SIGINT")
]
CODES = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}


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


@contextmanager
def started(cube: CubeConfig, run: RunConfig, log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command in a process group that ends with the block."""
    process = jobs.start(["build", *options(cube, run)], log, env)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize(("stage", "ending"), ENDINGS)
def test_a_run_stopped_in_any_stage_releases_the_lease_and_the_next_run_finishes_the_cube(
    stage: str, ending: str, remote: Remote, undisturbed: Pixels, moto_s3: S3, tmp_path: Path
) -> None:
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    log = tmp_path / "log"
    with ExitStack() as stack:
        stack.enter_context(environment_of(credentials))
        api = stack.enter_context(EarthSearch([remote.collection], remote.items))
        store = stack.enter_context(FaultyProxy(moto_s3.endpoint_url))
        cube = sample_cube(api.url, **SIX_CHUNKS)
        through = {"endpoint_url": store.endpoint_url}
        direct = {"endpoint_url": moto_s3.endpoint_url}
        uri = moto_s3.uri("cube.zarr")
        faults: dict[str, Callable[[], Any]] = {
            "search": lambda: api.fail("v1/search", kind="delay", seconds=300, skip=1),
            "initialize": lambda: store.fail("hang", path="*/cube.zarr/zarr.json"),
            "chunks": lambda: remote.files.fail("*_202306*", times=None, kind="delay", seconds=300),
            "summary": lambda: store.fail("hang", path="*/ledger.parquet"),
        }
        fault = faults[stage]()
        run = run_config(uri, threads=1, batch_size=1, storage_options=through)
        with started(cube, run, log, EACH_READ_IS_A_REQUEST) as process:
            until(lambda: fault.fired or process.poll() is not None, f"{stage}: {log.read_text()}")
            assert process.poll() is None, log.read_text()
            os.kill(process.pid, signal.Signals[ending])
            assert process.wait(60) == CODES[ending]
        said = log.read_text()
        assert "Traceback" not in said
        ledger = Ledger.of_store(Place.at(uri, direct))
        if ending != "SIGKILL":
            verb = "terminated" if ending == "SIGTERM" else "interrupted"
            assert said.splitlines()[-1] == f"ardcube: {verb}; run the same command again to continue"
            assert current_claim(ledger.place) is None
        done = ledger.records()
        assert len(done) == {"search": 0, "initialize": 0, "chunks": 1, "summary": 6}[stage]
        assert (ledger.read_cube() is None) == (stage == "search")

        api.heal()
        store.heal()
        remote.files.heal()
        summary = build_cube(cube, run.model_copy(update={"storage_options": direct}))
        assert (summary.already_done, summary.written) == (len(done), 6 - len(done))
        after = ledger.records()
        assert {key: after[key] for key in done} == done, "a finished chunk was built again"
        assert pixels(uri, direct) == undisturbed


MASK = '''
"""A mask for the test: while a file exists, it kills the process that builds a certain chunk."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Poison:
    name: ClassVar[str] = "poison"
    independent_days: ClassVar[bool] = True
    file: str = ""

    bands = ()
    halo = 0

    def clear(self, observations):
        month = observations.time.astype("datetime64[M]")
        there = (month == np.datetime64("2023-06")).any() and observations.x.min() < 11.97
        file = Path(self.file)
        if there and file.exists():
            how = file.read_text()
            with file.with_suffix(".deaths").open("a") as deaths:
                deaths.write("x")
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            kept = []
            while True:
                kept.append(np.ones(20_000_000, np.uint8))
        return np.ones(observations.shape, bool)
'''


@pytest.fixture
def poison(tmp_path: Path) -> Iterator[Path]:
    """A file: while it exists, the June chunk of the western tile kills the process that builds it."""
    folder = tmp_path / "installed"
    described = folder / "poison-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / "poison_mask.py").write_text(MASK)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: poison\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[ardcube.cloud_masks]\npoison = poison_mask:Poison\n")
    with environment_of({"PYTHONPATH": str(folder)}):
        yield tmp_path / "poison"


POISONED = "2023-06_y0000_x0000"


@pytest.mark.parametrize("how", ["kill", pytest.param("memory", marks=pytest.mark.deep)])
def test_a_poison_chunk_is_recorded_as_failed_and_the_other_chunks_are_built_once(
    how: str, sample_archive: Path, poison: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, **SIX_CHUNKS, cloud_mask="poison", cloud_mask_options={"file": str(poison)})
    uri = tmp_path / "cube.zarr"
    # One killed worker is enough here; Dask's default is four.
    env = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    limit = ("--memory-limit", "0" if how == "kill" else "600MB")
    with processes.dask_cluster(tmp_path, workers=1, env=env, nanny=limit) as cluster:
        run = run_config(uri, threads=None, serverless_backend="dask", scheduler_address=cluster.address, batch_size=2)
        poison.write_text(how)
        failed = jobs.run(["build", *options(cube, run)])
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert "ardcube: 1 of 6 chunks failed: " in failed.stderr
        assert "1 worker died while building this chunk" in failed.stderr
        assert "5 written, 0 empty, 1 failed" in failed.stdout
        done = {str(key): record for key, record in records(uri).items()}
        assert (bad := done.pop(POISONED)).status == "failed"
        assert bad.failed_permanently
        assert [(record.status, len(record.attempts)) for record in done.values()] == [("written", 1)] * 5
        assert len(poison.with_suffix(".deaths").read_text()) == 2, "once in its batch, once alone"

    poison.unlink()
    repaired = jobs.run(["build", *options(cube, run_config(uri))])
    assert repaired.returncode == 0, repaired.stderr
    assert "1 written, 0 empty, 0 failed, 5 done before" in repaired.stdout
    after = {str(key): record for key, record in records(uri).items()}
    assert {key: after[key] for key in done} == done, "no finished chunk was built again"
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS, cloud_mask="none"), run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")


def test_a_poison_chunk_that_kills_the_flow_is_recorded_by_the_next_run(
    sample_archive: Path, poison: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, **SIX_CHUNKS, cloud_mask="poison", cloud_mask_options={"file": str(poison)})
    uri = tmp_path / "cube.zarr"
    run = run_config(uri, threads=1, batch_size=1)
    poison.write_text("kill")
    command = ["build", *options(cube, run)]
    assert jobs.run(command).returncode == -signal.SIGKILL
    first = records(uri)
    assert len(first) == 1

    named = jobs.run(command)
    assert named.returncode == 1, named.stdout + named.stderr
    assert "ardcube: 1 of 6 chunks failed: " in named.stderr
    assert "2 workers died while building this chunk" in named.stderr
    assert len(named.stderr.splitlines()) == 1
    done = {str(key): record for key, record in records(uri).items()}
    assert done.pop(POISONED).failed_permanently
    assert {record.status for record in done.values()} == {"written"}
    assert {key: done[str(key)] for key in first} == first
    suspects = InFlightFile(Ledger.of_store(Place.at(str(uri))).place).suspects
    assert {str(key) for key in suspects} == {POISONED}, "the next run builds it in a separate process again"


class LosesWorkers(ProgressReceiver):
    """Kills all workers when chunks are about to be built."""

    def __init__(self, cluster: processes.DaskCluster) -> None:
        self._cluster = cluster

    def started(self, chunks: int, already_done: int) -> None:
        for pid in self._cluster.worker_pids:
            os.kill(pid, signal.SIGKILL)


def test_a_run_without_workers_stops_and_lists_the_missing_chunks(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.workers._LOOK_SECONDS", 0.0)
    with processes.dask_cluster(tmp_path, workers=1) as cluster, reporting(LosesWorkers(cluster)):
        run = run_config(
            tmp_path / "cube.zarr", threads=None, patience="0", serverless_backend="dask",
            scheduler_address=cluster.address,
        )  # fmt: skip
        with pytest.raises(ChunksFailedError, match=r"^6 of 6 chunks failed: the worker was lost"):
            build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run)


SHORT_PATIENCE = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s"}
"""Environment of a scheduler that gives up a silent worker after 20 seconds, which is longer than the import of numba.
The default is five minutes."""


async def give_up_worker(address: str, dask_scheduler: Any) -> None:
    """Do what the scheduler does when a worker was silent for too long."""
    await dask_scheduler.remove_worker(address, stimulus_id="test", expected=False)


@pytest.mark.parametrize(
    "how",
    [
        "paused",
        pytest.param("paused for long", marks=pytest.mark.deep),
        pytest.param("cut off", marks=pytest.mark.deep),
    ],
)
def test_a_silent_worker_loses_its_chunk_to_another_and_changes_nothing_when_it_returns(
    how: str, remote: Remote, undisturbed: Pixels, tmp_path: Path
) -> None:
    uri = tmp_path / "cube.zarr"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    env = {**EACH_READ_IS_A_REQUEST, **({} if how == "paused" else SHORT_PATIENCE)}
    log = tmp_path / "silent.log"
    with ExitStack() as stack:
        cluster = stack.enter_context(processes.dask_cluster(tmp_path, workers=1, env=env))
        cable = stack.enter_context(Cable(cluster.address))
        worker = ("-m", "dask", "worker", cable.address, "--no-nanny", "--no-dashboard", "--nthreads", "1")
        place = ("--host", "127.0.0.1", "--name", "silent", "--local-directory", str(tmp_path / "silent"))
        silent = stack.enter_context(processes.running([processes.sys.executable, *worker, *place], log, env=env))
        until(lambda: "Registered to" in log.read_text(), "the worker")
        pool = stack.enter_context(ThreadPoolExecutor(1))
        client = stack.enter_context(Client(cluster.address, set_as_default=False))
        (address,) = (at for at, known in client.scheduler_info()["workers"].items() if known["id"] == "silent")
        held = remote.files.fail("*", times=None, kind="delay", seconds=0.2)
        run = run_config(uri, batch_size=1, threads=None, serverless_backend="dask", scheduler_address=cluster.address)
        building = pool.submit(build_cube, cube, run)
        until(lambda: held.fired and client.processing().get(address), "a chunk in flight at the silent worker")
        if how == "cut off":
            cable.cut()
        else:
            silent.send_signal(signal.SIGSTOP)
        if how == "paused":
            client.run_on_scheduler(give_up_worker, address)
        until(lambda: address not in client.scheduler_info()["workers"], "the scheduler to give the worker up")
        remote.files.heal()
        summary = building.result(120)
        assert (summary.written, summary.failed) == (6, 0)
        assert pixels(uri) == undisturbed
        after = records(uri)
        silent.send_signal(signal.SIGCONT)
        if how == "cut off":
            cable.close()  # until then the worker waits for its scheduler
        until(lambda: silent.poll() is not None, "the end of the silent worker")
    assert records(uri) == after
    assert pixels(uri) == undisturbed


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.deep)])
def test_an_outage_of_the_prefect_server_costs_no_chunk(
    seconds: int, remote: Remote, undisturbed: Pixels, prefect_home: Path, tmp_path: Path
) -> None:
    uri, log = tmp_path / "cube.zarr", tmp_path / "log"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1)
    hold = remote.files.fail("*_202306*", times=1, kind="delay", seconds=seconds + 10)
    port = processes.free_port()
    with ExitStack() as stack:
        with processes.prefect_server(tmp_path, port=port, home=prefect_home) as server:
            process = stack.enter_context(started(cube, run, log, server.environment))
            until(lambda: hold.fired or process.poll() is not None, f"a chunk in flight: {log.read_text()}")
            os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)
        with processes.prefect_server(tmp_path, port=port, home=prefect_home):
            assert process.wait(180) == 0, log.read_text()
    assert "6 written, 0 empty, 0 failed" in log.read_text()
    assert [len(record.attempts) for record in records(uri).values()] == [1] * 6
    assert pixels(uri) == undisturbed
