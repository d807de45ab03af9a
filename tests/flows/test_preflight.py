"""Workers that cannot build a chunk are refused with one line, before anything is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client
from prefect.settings import PREFECT_API_URL, temporary_settings

from ardcube.config import EARTH_SEARCH, RunConfig
from ardcube.errors import InputError, RunStopsError
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.ask_workers import seen_by_flow
from flows.build_cube import build_cube
from flows.preflight import check_region, check_workers
from flows.progress import ProgressReceiver, reporting
from tests.flows import jobs
from tests.flows.jobs import options, records, run_config, sample_cube
from tests.servers import processes
from tests.servers.processes import S3, DaskCluster, PrefectServer
from tests.wait_for import until

BROKEN = "raise ImportError('libgdal.so: cannot open shared object file')"
Cluster = Callable[[Mapping[str, str]], AbstractContextManager[DaskCluster]]


def on(cluster: DaskCluster, uri: Path | str, **changes: Any) -> RunConfig:
    """Return a run on a cluster."""
    return run_config(
        uri, **{"threads": None, "serverless_backend": "dask", "scheduler_address": cluster.address, **changes}
    )


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A cluster whose workers the tests start."""
    with processes.dask_cluster(tmp_path_factory.mktemp("dask"), workers=0) as cluster:
        yield cluster


OTHER_VERSION = {"ardcube-9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: ardcube\nVersion: 9.9\n"}


def worker(stack: ExitStack, cluster: DaskCluster, folder: Path, files: Mapping[str, str]) -> Callable[[], None]:
    """Start a worker that finds the given files before the installed packages; return a function that waits for it."""
    folder.mkdir(exist_ok=True)
    shim = folder / "shim"
    for name, content in files.items():
        (shim / name).parent.mkdir(parents=True, exist_ok=True)
        (shim / name).write_text(content)
    log = folder / "worker.log"
    command = [processes.sys.executable, "-P", "-m", "dask", "worker", cluster.address, "--no-nanny", "--no-dashboard"]
    place = ["--host", "127.0.0.1", "--nthreads", "1", "--local-directory", folder / "scratch"]
    process = stack.enter_context(processes.running([*command, *place], log, env={"PYTHONPATH": str(shim)}))
    return lambda: processes.wait_until(
        lambda: "Registered to" in log.read_text(), "dask worker", seconds=120, process=process, log=log
    )


def refused(run: RunConfig, *stac_urls: str) -> str:
    """Return the message of a refused run, which is one line."""
    with pytest.raises(InputError) as caught:
        check_workers(run, stac_urls)
    message = str(caught.value)
    assert "\n" not in message
    return message


class Warnings(ProgressReceiver):
    """Keeps the warnings of a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warned(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.usefixtures("prefect_server")
def test_the_command_reports_a_worker_that_cannot_import_the_package_with_its_own_error(
    scheduler: DaskCluster, sample_archive: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        worker(stack, scheduler, tmp_path, {"flows/__init__.py": BROKEN})()
        arguments = options(sample_cube(sample_archive), on(scheduler, tmp_path / "cube.zarr"))
        done = jobs.run(["build", *arguments])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ardcube: worker tcp://127.0.0.1:")
    assert "cannot import this package (ImportError('libgdal.so: cannot open shared object file')); install" in line
    assert list(tmp_path.glob("*cube*")) == []


def test_a_worker_with_another_version_is_refused(
    scheduler: DaskCluster, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        worker(stack, scheduler, tmp_path, OTHER_VERSION)()
        message = refused(on(scheduler, tmp_path / "cube.zarr"))
    assert "it has ardcube 9.9, the flow has " in message


def test_an_empty_cluster_is_refused_after_a_minute(
    scheduler: DaskCluster, prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.preflight.WORKER_SECONDS", 0.5)
    message = refused(on(scheduler, tmp_path / "cube.zarr"))
    assert message.endswith(f"it has no worker after 0 s; start one with `dask worker {scheduler.address}`")


def test_workers_that_see_another_store_catalogue_or_server_are_refused(
    scheduler: DaskCluster, prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        worker(stack, scheduler, tmp_path, {})()
        assert "fsspec-uri cube.zarr is " in (message := refused(on(scheduler, "cube.zarr")))
        assert message.endswith("give an absolute path")
        check_workers(run := on(scheduler, tmp_path / "cube.zarr"), [str(catalogue)])
        assert list(tmp_path.glob("*cube*")) == []
        with monkeypatch.context() as patch:
            patch.setattr("flows.ask_workers.digest_of", lambda path: "of another folder")
            assert f"it does not see stac-url {catalogue} as the flow does" in refused(run, str(catalogue))
        with monkeypatch.context() as patch:
            patch.setattr("ardcube.storage.place.Place.write", lambda *given: None)  # as on the disk of another machine
            assert f"it does not see fsspec-uri {tmp_path}/cube.zarr, which may be on the disk" in refused(run)
        closed = f"http://127.0.0.1:{processes.free_port()}/api"
        with temporary_settings({PREFECT_API_URL: closed}):
            assert f"it does not reach the Prefect server {closed} (URLError" in refused(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fsspec_uri": "memory://cube"}, "only this process sees it"),
        ({"scheduler_address": "http://127.0.0.1:8786"}, "Dask has no protocol http; use tcp://, tls:// or gateway://"),
        ({"scheduler_address": "tls://127.0.0.1:1"}, "does not answer as a Dask scheduler (TLS expects a `ssl_context"),
        ({"scheduler_address": "tcp://127.0.0.1:1"}, "does not answer as a Dask scheduler"),
        ({"scheduler_address": "tcp://10.1.2.3:8786"}, "cannot report to http://127.0.0.1"),
    ],
)
def test_a_store_and_an_address_that_cannot_work_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.preflight._CONNECT_SECONDS", 1.0)
    run = run_config(tmp_path / "cube.zarr", **{"threads": None, "serverless_backend": "dask",
                     "scheduler_address": "tcp://127.0.0.1:1", **changes})  # fmt: skip
    assert message in refused(run)
    assert list(tmp_path.iterdir()) == []


def test_coiled_needs_a_token_a_shared_store_and_a_catalogue_that_its_machines_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DASK_COILED__TOKEN", "")
    with temporary_settings({PREFECT_API_URL: "https://prefect.example/api"}):
        shared = {"fsspec_uri": "s3://bucket/cube.zarr", "storage_options": {"endpoint_url": "http://127.0.0.1:9"}}

        def message(stac_url: str = EARTH_SEARCH, **changes: Any) -> str:
            return refused(RunConfig(**{**shared, "serverless_backend": "coiled", **changes}), stac_url)

        assert "no Coiled token is set; run `coiled login`, or set DASK_COILED__TOKEN" in message()
        with dask.config.set({"coiled.token": "hush"}):
            line = message(cluster_options={"worker_vm_type": ["m6i.xlarge"]})
            assert line == "cluster-option worker_vm_type: coiled.Cluster has no such argument; see its documentation"
            assert "cluster-option region: cannot be given; use coiled-region" in message(
                cluster_options={"region": "x"}
            )
            assert "environ: is not an object; write it as JSON" in message(cluster_options={"environ": "x"})
        assert "has other machines; give an address such as s3://" in message(
            fsspec_uri=str(tmp_path), storage_options={}
        )
        assert "has other machines; give the URL of a STAC API" in message(stac_url=str(tmp_path))


def test_a_region_fits_the_store_or_the_scenes() -> None:
    with reporting(warnings := Warnings()):
        check_region("us-west-2", "eu-central-1", [EARTH_SEARCH])
    assert warnings.lines == [
        "coiled-region us-west-2: the store is in eu-central-1; the transfer of each written byte is charged"
    ]
    check_region("eu-central-1", "eu-central-1", [EARTH_SEARCH])
    check_region("eu-north-1", "eu-central-1", ["https://stac.example"])
    check_region("eu-north-1", "eu-central-1", [EARTH_SEARCH, "https://stac.example"])
    check_region("eu-north-1", None, [EARTH_SEARCH])
    with pytest.raises(
        InputError, match=r"^coiled-region eu-north-1: the scenes are in us-west-2 and the store in eu-"
    ):
        check_region("eu-north-1", "eu-central-1", [EARTH_SEARCH, EARTH_SEARCH])


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start runs without the check of their workers, as if the workers joined after it."""
    monkeypatch.setattr("flows.build_cube.check_workers", lambda *_: None)


@pytest.mark.usefixtures("prefect_server")
def test_the_probe_of_a_killed_run_is_removed_by_the_next_run(
    moto_s3: S3, sample_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_s3.environment.items():
        monkeypatch.setenv(name, value)
    run = run_config(moto_s3.uri("cube.zarr"))
    place = Place.at(run.fsspec_uri, run.storage_options)
    ledger = Ledger.of_store(place).place
    with seen_by_flow(run, place, ()) as seen:  # a killed run does not leave this block
        assert ledger.list() == [seen.probe]
        build_cube(sample_cube(sample_archive, chunk_size=80, bands=("red",), end_date="2023-05-31"), run)
        assert seen.probe not in ledger.list()
    assert "cube.json" in ledger.list()


@pytest.mark.usefixtures("prefect_server", "unchecked")
def test_a_worker_that_joins_later_and_cannot_build_chunks_is_reported_and_retired(
    scheduler: DaskCluster, sample_archive: Path, tmp_path: Path
) -> None:
    cube, uri, warnings = sample_cube(sample_archive, chunk_size=80, bands=("red",)), tmp_path / "cube.zarr", Warnings()
    with ExitStack() as stack:
        client = stack.enter_context(Client(scheduler.address, set_as_default=False))
        starting = [
            worker(stack, scheduler, tmp_path / name, files)
            for name, files in (("wrong", OTHER_VERSION), ("right", {}))
        ]
        for registered in starting:
            registered()
        with reporting(warnings):
            summary = build_cube(cube, on(scheduler, uri, batch_size=1))
        until(lambda: len(client.nthreads()) == 1, "the end of the wrong worker")
    assert (summary.written, summary.failed) == (6, 0)
    (line,) = warnings.lines
    assert re.fullmatch(r"worker tcp://\S+: it has ardcube 9\.9, .* the same version; the run goes on without it", line)


@pytest.mark.usefixtures("prefect_server", "unchecked")
def test_a_run_stops_if_no_worker_can_build_chunks(
    scheduler: DaskCluster, sample_archive: Path, tmp_path: Path
) -> None:
    uri = tmp_path / "cube.zarr"
    with ExitStack() as stack:
        worker(stack, scheduler, tmp_path, OTHER_VERSION)()
        with pytest.raises(
            RunStopsError, match=r"^worker tcp://\S+: it has ardcube 9\.9, .*; install the same version$"
        ):
            build_cube(sample_cube(sample_archive), on(scheduler, uri))
    assert records(uri) == {}
