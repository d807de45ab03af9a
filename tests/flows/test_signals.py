"""One SIGINT or SIGTERM ends the command within ten seconds at any moment, and leaves no process and no lease."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from ardcube.config import CubeConfig
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from tests.flows import jobs
from tests.flows.jobs import environment_of, options, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, Remote
from tests.leases import current_claim
from tests.servers.earth_search import EarthSearch
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3, environment, has_ended
from tests.servers.range_server import RangeServer
from tests.wait_for import until

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
MANY_CHUNKS = {**SIX_CHUNKS, "chunk_size": 20}
SECONDS = 10.0
"""Seconds within which a signal ends the command."""
CODES = {signal.SIGINT: (130, -signal.SIGINT), signal.SIGTERM: (143, -signal.SIGTERM)}
"""Exit codes that a shell shows as 130 and 143; a negative one is from the start of the interpreter."""
MARK = "ARDCUBE_TEST_RUN"
TEMPORARY_SERVER = {"PREFECT_API_URL": "", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true"}
"""Environment of a command that starts a temporary Prefect server."""
Target = Literal["group", "process"]


@dataclass(frozen=True)
class Run:
    """A command."""

    process: subprocess.Popen[bytes]
    log: Path
    mark: str

    @property
    def processes(self) -> dict[int, str]:
        """Command lines of the processes that this run started, and of itself, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return {pid: line for pid, line in found.items() if not has_ended(pid)}

    def has_printed(self, text: str) -> bool:
        """Return whether the output contains a text."""
        return text in self.log.read_text()

    def has_server(self) -> bool:
        """Return whether the process of the temporary server exists."""
        return any("flows.server_process" in line for line in self.processes.values())

    def send(self, number: signal.Signals, target: Target) -> None:
        """Send a signal to the process or its group, as a terminal does."""
        (os.killpg if target == "group" else os.kill)(self.process.pid, number)

    def ends_with(self, number: signal.Signals, seconds: float = SECONDS, complete: str = "") -> None:
        """Check that the command and all its processes end in time, with the code of the signal.

        A command that has printed `complete`, its last line, may also end with 0.
        """
        begun = time.monotonic()
        code = self.process.wait(60)
        until(lambda: not self.processes, f"the end of {self.processes}")
        took = time.monotonic() - begun
        said = self.log.read_text()
        assert code in CODES[number] or (complete and complete in said and code == 0), said
        assert took < seconds, said
        assert code < 0 or "Traceback" not in said, said


@contextmanager
def started(
    cube: CubeConfig, uri: str, home: Path, env: dict[str, str] = TEMPORARY_SERVER, **run: Any
) -> Iterator[Run]:
    """Start a build in an environment; a temporary Prefect server has its files in `home`."""
    mark = uuid.uuid4().hex
    environment = {"PREFECT_LOGGING_TO_API_ENABLED": "true", "PREFECT_HOME": str(home), MARK: mark, **env}
    log = home / "log"
    arguments = options(cube, run_config(uri, threads=1, batch_size=1, **run))
    running = Run(jobs.start(["build", *arguments], log, environment), log, mark)
    try:
        yield running
    finally:
        for pid in running.processes:
            os.kill(pid, signal.SIGKILL)
        running.process.wait()


@dataclass(frozen=True)
class World:
    """Catalogue, files and store that fail on request."""

    api: EarthSearch
    files: RangeServer
    store: FaultyProxy
    cube: CubeConfig


@pytest.fixture
def world(sample_archive: Path, range_server: Callable[[Path], RangeServer], moto_s3: S3) -> Iterator[World]:
    """The sample archive behind a STAC API, its files over HTTP, a store behind a proxy."""
    remote = Remote.of(sample_archive, range_server(sample_archive))
    credentials = {name: value for name, value in moto_s3.environment.items() if name != "AWS_ENDPOINT_URL"}
    with ExitStack() as stack:
        stack.enter_context(environment_of(credentials))
        api = stack.enter_context(EarthSearch([remote.collection], remote.items))
        store = stack.enter_context(FaultyProxy(moto_s3.endpoint_url))
        yield World(api, remote.files, store, sample_cube(api.url, **SIX_CHUNKS))


Happens = Callable[[Run], bool]
MOMENTS: dict[str, tuple[signal.Signals, Target, Callable[[World], Happens]]] = {
    "the first imports": (signal.SIGINT, "group", lambda world: lambda run: True),
    "a check that waits for the catalogue": (
        signal.SIGTERM,
        "process",
        lambda world: _fired(world.api.fail("*", kind="delay", seconds=300)),
    ),
    "the start of the server": (signal.SIGINT, "group", lambda world: Run.has_server),
    "a search that waits for the catalogue": (
        signal.SIGINT,
        "group",
        lambda world: _fired(world.api.fail("v1/search", kind="delay", seconds=300, skip=1)),
    ),
    "a store that does not answer while it is created": (
        signal.SIGTERM,
        "group",
        lambda world: _fired(world.store.fail("hang", path="*/cube.zarr/zarr.json")),
    ),
    "chunks that wait for a file": (
        signal.SIGINT,
        "group",
        lambda world: _fired(world.files.fail("*_202306*", times=None, kind="delay", seconds=300)),
    ),
    "a summary that waits for the store": (
        signal.SIGTERM,
        "process",
        lambda world: _fired(world.store.fail("hang", path="*/ledger.parquet")),
    ),
    "the shutdown": (signal.SIGINT, "group", lambda world: lambda run: run.has_printed("6 written, 0 empty, 0 failed")),
}
"""Moments of a run, with the signal, its target, and the condition that is true from that moment on."""
WITH_A_SERVER = (
    "a search that waits for the catalogue",
    "a store that does not answer while it is created",
    "a summary that waits for the store",
)
"""Moments of a run that uses the session's Prefect server, which is ready at once; the others start a temporary one."""


def _fired(fault: Any) -> Happens:
    return lambda run: bool(fault.fired)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_signal_ends_the_command_and_all_it_holds(
    moment: str, world: World, moto_s3: S3, prefect_home: Path
) -> None:
    number, target, happening = MOMENTS[moment]
    happens = happening(world)
    uri = moto_s3.uri("cube.zarr")
    reader = "gdal" if "file" in moment else "auto"
    env = EACH_READ_IS_A_REQUEST | ({} if moment in WITH_A_SERVER else TEMPORARY_SERVER)
    through = {"endpoint_url": world.store.endpoint_url}
    with started(world.cube, uri, prefect_home, env, storage_options=through, reader=reader) as run:
        until(lambda: happens(run) or run.process.poll() is not None, f"{moment}: {run.log.read_text()}")
        assert run.process.poll() is None, run.log.read_text()
        run.send(number, target)
        run.ends_with(number)
    ledger = Ledger.of_store(Place.at(uri, {"endpoint_url": moto_s3.endpoint_url}))
    assert current_claim(ledger.place) is None


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]], ids=["twice", "once"])
def test_the_command_ends_although_the_store_does_not_let_it_release_the_lease(
    signals: list[signal.Signals], world: World, moto_s3: S3, tmp_path: Path
) -> None:
    held = world.store.fail("hang", times=None, method="PUT", path="*/cube.zarr/*")
    through = {"endpoint_url": world.store.endpoint_url}
    with started(world.cube, moto_s3.uri("cube.zarr"), tmp_path, {}, storage_options=through) as run:
        until(lambda: held.fired, "the creation of the store")
        release = world.store.fail("hang", times=None)
        run.send(signals[0], "process")
        until(lambda: release.fired, "the release of the lease")
        time.sleep(0.6)  # more than the time in which a repeated signal is the same key press
        for number in signals[1:]:
            run.send(number, "group")
        run.ends_with(signals[0], seconds=3.0 if signals[1:] else SECONDS)


LIBRARY = """
import os, signal
from flows import signals

def command():
    signal.signal(signal.SIGTERM, lambda *_: 1 / 0)  # as Prefect does while a flow runs
    os.kill(os.getpid(), signal.SIGTERM)

signals.install()
from flows.process_exit import run_command
run_command(command)
"""


def test_a_signal_that_a_library_turns_into_another_error_ends_the_command_with_its_code() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (143, "ardcube: terminated; run the same command again to continue\n")


@pytest.fixture(scope="module")
def seconds_of_a_run(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds that the run takes whose random moments are tested."""
    home = tmp_path_factory.mktemp("undisturbed")
    begun = time.monotonic()
    with started(sample_cube(sample_archive, **MANY_CHUNKS), str(home / "cube.zarr"), home) as run:
        assert run.process.wait(240) == 0, run.log.read_text()
    return time.monotonic() - begun


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(40))
def test_a_signal_at_a_random_moment_ends_the_command(
    seed: int,
    seconds_of_a_run: float,
    sample_archive: Path,
    range_server: Callable[[Path], RangeServer],
    tmp_path: Path,
) -> None:
    """The files of every fourth run are read by GDAL from a server that hangs after some requests."""
    chance, hangs = random.Random(seed), seed % 4 == 0
    number, target = chance.choice(list(CODES)), chance.choice(["group", "process"])
    remote = Remote.of(sample_archive, range_server(sample_archive))
    catalogue = remote.write(tmp_path / "catalogue") if hangs else sample_archive
    remote.files.fail("*", times=None, kind="delay", seconds=300, skip=chance.randrange(40))
    cube, uri = sample_cube(catalogue, **MANY_CHUNKS), tmp_path / "cube.zarr"
    env = TEMPORARY_SERVER | (EACH_READ_IS_A_REQUEST if hangs else {})
    reader = "gdal" if hangs else chance.choice(["auto", "gdal"])
    with started(cube, str(uri), tmp_path, env, reader=reader) as run:
        end = time.monotonic() + chance.uniform(0.05, seconds_of_a_run)
        until(lambda: time.monotonic() > end or run.process.poll() is not None, "the moment")
        if run.process.poll() is None:
            run.send(number, target)
            run.ends_with(number, complete=f"cube     {uri}")
    assert not uri.exists() or current_claim(Ledger.of_store(Place.at(str(uri))).place) is None
