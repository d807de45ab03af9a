"""Build cubes while signals arrive, cables are cut, workers and the scheduler are lost: `test_chaos.py` runs this.

    python -m tests.flows.chaos ARCHIVE FOLDER ROUNDS SEED HOSTS

It runs on the head of `tests.servers.hosts`, with $ARDCUBE_TEST_HOST; HOSTS is a JSON list of the hosts, the head
first. A round builds one cube. What happens, and when, follows from the seed and the number of the round, but where
the build is then does not. A round ends when the build exits with 0: its cube must equal an undisturbed one, and no
process, lease or file may be left behind.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ardcube.config import CubeConfig
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE
from ardcube.storage.place import Place
from tests.flows.jobs import Pixels, options, pixels, run_config, sample_cube, start
from tests.flows.remote import Remote
from tests.leases import current_claim
from tests.servers.address import HOST
from tests.servers.earth_search import EarthSearch
from tests.servers.hosts import Host
from tests.servers.processes import S3, free_port, has_ended, make_bucket, moto_server, prefect_server, running
from tests.servers.range_server import RangeServer
from tests.wait_for import until

CUBE = {"chunk_size": 40, "bands": ("red",)}
"""24 chunks."""
MOST_DISTURBED = 4
"""Builds of a round that are disturbed; those after them are not."""
MOST_BUILDS = 8
PATIENCE = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}
"""Environment of a scheduler that gives up a silent worker after ten seconds, by default after five minutes."""
LOCAL, CLUSTER = "local", "cluster"
EVENTS = {
    LOCAL: ("signal",),
    CLUSTER: ("signal", "cut", "cut for long", "worker lost", "spot losses", "scheduler lost"),
}
MARK = "ARDCUBE_TEST_RUN"
UNDISTURBED = ["exit 0"]
"""Result of `build` if nothing happened."""


@dataclass
class Cluster:
    """A scheduler on the head and one worker on each other host, all of which may be lost."""

    head: Host
    hosts: Sequence[Host]
    folder: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    stacks: dict[str, ExitStack] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return f"tcp://{self.head.address}:{self.port}"

    def repair(self) -> None:
        """Repair the cables, and start what does not run."""
        for host in self.hosts:
            host.repair(self.head)
        if not self._runs("scheduler"):
            place = ("--host", self.head.address, "--port", str(self.port), "--no-dashboard", "--no-jupyter")
            self._start("scheduler", [sys.executable, "-m", "dask", "scheduler", *place])
        for host in self.hosts:
            if not self._runs(host.namespace):
                self.start_worker(host)

    def start_worker(self, host: Host) -> None:
        """Start the worker of a host; its files are on the host's own disk."""
        disk = self.folder / f"disk-{host.namespace}"
        disk.mkdir(exist_ok=True)
        worker = (
            sys.executable,
            "-m",
            "dask",
            "worker",
            self.address,
            "--no-nanny",
            "--no-dashboard",
            "--nthreads",
            "1",
        )
        place = ("--host", host.address, "--local-directory", disk, "--death-timeout", "60")
        self._start(host.namespace, host.command([*worker, *place], disk))

    def lose(self, name: str) -> None:
        """Kill a process of the cluster."""
        self.running[name].kill()
        self.running[name].wait()

    def close(self) -> None:
        """End all processes."""
        for stack in self.stacks.values():
            stack.close()

    def _runs(self, name: str) -> bool:
        return name in self.running and self.running[name].poll() is None

    def _start(self, name: str, command: Sequence[object]) -> None:
        if name in self.stacks:
            self.stacks[name].close()
        self.stacks[name] = ExitStack()
        log = self.folder / f"{name}.log"
        self.running[name] = self.stacks[name].enter_context(running(command, log, env=self.env))


class NeverDisturbs(random.Random):
    """A chance that lets nothing happen."""

    def randint(self, a: int, b: int) -> int:
        """Return the number of events."""
        return 0


@dataclass
class Expected:
    """Result of a build that nothing disturbed."""

    pixels: Pixels
    names: set[str]
    """Names of its files."""
    seconds: float
    """How long such a build takes at least; events come at moments within this time."""


@dataclass(frozen=True)
class World:
    """Services of all rounds."""

    cube: CubeConfig
    bucket: S3
    cluster: Cluster
    env: dict[str, str]
    folder: Path


def disturb(event: str, chance: random.Random, process: subprocess.Popen[bytes], cluster: Cluster) -> str:
    """Let something happen, and return what it was."""
    host = chance.choice(cluster.hosts)
    if event == "signal":
        number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        os.killpg(process.pid, number)
        return number.name
    if event.startswith("cut"):
        seconds = chance.uniform(0.5, 5.0) if event == "cut" else 14.0
        host.cut(cluster.head)
        _wait(process, seconds)
        host.repair(cluster.head)
        return f"cut for {seconds:.0f} s"
    if event == "spot losses":
        for turn in range(3):
            lost = cluster.hosts[turn % len(cluster.hosts)]
            cluster.lose(lost.namespace)
            cluster.start_worker(lost)
            _wait(process, 2.0)
    else:
        cluster.lose("scheduler" if event == "scheduler lost" else host.namespace)
        cluster.repair()
    return event


def build(
    world: World, kind: str, uri: str, stored: dict[str, Any], chance: random.Random, seconds: float
) -> list[str]:
    """Build the cube of a round until the command exits with 0; return what happened meanwhile."""
    run = run_config(
        uri,
        storage_options=stored,
        batch_size=1,
        retries=1,
        **(
            {"threads": 2}
            if kind == LOCAL
            else {"serverless_backend": "dask", "scheduler_address": world.cluster.address}
        ),
    )
    happened = []
    for attempt in range(MOST_BUILDS):
        mark, log = uuid.uuid4().hex, world.folder / f"{uri.rsplit('/', 1)[1]}-{attempt}.log"
        process = start(["build", *options(world.cube, run)], log, world.env | {MARK: mark})
        begun = time.monotonic()
        if attempt < MOST_DISTURBED:
            for moment in sorted(chance.uniform(0.2, seconds) for _ in range(chance.randint(1, 3))):
                _wait(process, begun + moment - time.monotonic())
                if process.poll() is None:
                    happened.append(disturb(chance.choice(EVENTS[kind]), chance, process, world.cluster))
        code = _end(process, world.cluster)
        until(lambda mark=mark: not _processes(mark), f"the end of the processes of {log}", 30)  # type: ignore[misc]
        happened.append(f"exit {code}")
        world.cluster.repair()
        if code == 0:
            return happened
    raise AssertionError(f"{uri} was not built: {happened}; see {log}")


def check(uri: str, stored: dict[str, Any], expected: Expected) -> None:
    """Raise AssertionError unless the cube is as an undisturbed one, and nothing is left behind."""
    ledger = Ledger.of_store(Place.at(uri, stored))
    assert pixels(uri, stored) == expected.pixels, f"{uri} differs"
    assert {record.status in DONE for record in ledger.records().values()} == {True}, f"{uri} has open chunks"
    assert current_claim(ledger.place) is None, f"the lease of {uri} is held"
    left = file_names(uri, stored) - expected.names
    assert not left, f"left behind: {left}"


def file_names(uri: str, stored: dict[str, Any]) -> set[str]:
    """Return the names of all files of a store and its ledger; those of stored headers vary."""
    place = Place.at(uri, stored)
    found = set()
    for root in (place, Ledger.of_store(place).place):
        root.fs.invalidate_cache()
        for path in root.fs.find(root.path):
            name = path[len(place.path) :]
            found.add(name if "/headers/" not in name else "headers")
    return found


def play(world: World, number: int, seed: int, expected: Expected) -> None:
    """Play one round."""
    chance = random.Random(seed * 1000 + number)
    kind = LOCAL if number % 4 == 0 else CLUSTER
    on_disk = kind == LOCAL and number % 8 == 0
    uri = str(world.folder / f"round-{number}.zarr") if on_disk else world.bucket.uri(f"round-{number}.zarr")
    stored = {} if on_disk else {"endpoint_url": world.bucket.endpoint_url}
    begun = time.monotonic()
    happened = build(world, kind, uri, stored, chance, expected.seconds)
    took = time.monotonic() - begun
    if happened == UNDISTURBED:
        expected.seconds = min(expected.seconds, took)
    if any(name.startswith(".ardcube/chunks/") for name in file_names(uri, stored) - expected.names):
        # A worker that was cut off may write the record of its chunk once more within the seconds in which it believes
        # the lease that it has read. The next build merges the record.
        happened += ["late record", *build(world, kind, uri, stored, NeverDisturbs(), 0)]
    check(uri, stored, expected)
    print(f"round {number}: {kind}, {'; '.join(happened)}; equal, {took:.0f} s", flush=True)


@contextmanager
def created(archive: Path, folder: Path, head: Host, others: Sequence[Host]) -> Iterator[World]:
    """Start all services on the head, and the workers on the other hosts."""
    with ExitStack() as stack:
        remote = Remote.of(archive, stack.enter_context(RangeServer(archive)))
        api = stack.enter_context(EarthSearch([remote.collection], remote.items))
        bucket = make_bucket(stack.enter_context(moto_server()))
        keys = {name: value for name, value in bucket.environment.items() if name != "AWS_ENDPOINT_URL"}
        os.environ.update(keys)
        server = stack.enter_context(prefect_server(folder))
        cluster = Cluster(head, others, folder, {**server.environment, **keys, **PATIENCE})
        stack.callback(cluster.close)
        cluster.repair()
        yield World(sample_cube(api.url, **CUBE), bucket, cluster, {**server.environment, **keys}, folder)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait, or until the process has ended."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes], cluster: Cluster) -> int:
    """Wait for the end of a build and return its exit code; start what ends meanwhile, as a supervisor does.

    Workers end after they have lost their scheduler, which may be after it was started again.
    """
    end = time.monotonic() + 300
    while process.poll() is None:
        assert time.monotonic() < end, f"{process.args} does not end"
        cluster.repair()
        _wait(process, 1.0)
    return process.returncode


def _processes(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return [pid for pid in found if not has_ended(pid)]


def main() -> None:
    """Play all rounds."""
    archive, folder, rounds, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    head, *others = (Host(**fields) for fields in json.loads(sys.argv[5]))
    assert head.address == HOST
    with created(archive, folder, head, others) as world:
        stored = {"endpoint_url": world.bucket.endpoint_url}
        uri = world.bucket.uri("undisturbed.zarr")
        begun = time.monotonic()
        assert build(world, CLUSTER, uri, stored, NeverDisturbs(), 0) == UNDISTURBED
        expected = Expected(pixels(uri, stored), file_names(uri, stored), time.monotonic() - begun)
        print(f"undisturbed: {expected.pixels.values.shape}, {expected.seconds:.0f} s", flush=True)
        for number in range(rounds):
            play(world, number, seed, expected)
        print(f"{rounds} rounds: all cubes equal, nothing left behind", flush=True)


if __name__ == "__main__":
    main()
