"""Real services, started on free ports and surely stopped: rustac, Dask, moto, Prefect.

Each is a context manager that returns when the service answers, and whose end leaves no process behind.
None of them waits a fixed time; a service that dies or does not answer in time is an error that quotes the
end of its log.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.wait_for import until

ROOT = Path(__file__).resolve().parents[2]
_BIN = Path(sys.executable).parent
"""Console scripts of this environment; the symbolic link that is the interpreter is not followed."""
_GRACE = 3.0
"""Seconds a process has to end by itself before it is killed: nothing that it keeps outlives the test."""
S3_KEY = "testing"

NO_OUTBOUND = {
    "DO_NOT_TRACK": "1",  # Prefect's client: usage events
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # Prefect's server: the heartbeat
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "AWS_EC2_METADATA_DISABLED": "true",  # botocore asks 169.254.169.254 for credentials
}
"""Environment that keeps the services, and whoever talks to them, from calling home."""


@dataclass(frozen=True, slots=True)
class Service:
    """A process that runs."""

    pid: int
    log: Path


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """A scheduler with workers, each a process of its own."""

    address: str
    """Of the scheduler: `tcp://127.0.0.1:PORT`."""
    scheduler_pid: int
    worker_pids: tuple[int, ...]
    """Without a nanny: a killed worker stays dead."""
    logs: Path


@dataclass(frozen=True, slots=True)
class S3:
    """An S3 endpoint with one bucket."""

    endpoint_url: str
    bucket: str
    key: str = S3_KEY
    secret: str = S3_KEY

    @property
    def storage_options(self) -> dict[str, Any]:
        """Keyword arguments of `s3fs.S3FileSystem`."""
        return {
            "key": self.key,
            "secret": self.secret,
            "endpoint_url": self.endpoint_url,
            "client_kwargs": {"region_name": "us-east-1"},
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process that takes its settings from the environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def uri(self, key: str) -> str:
        """URI of an object, or of the prefix that is a store."""
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A Prefect server with a database of its own."""

    api_url: str
    home: Path
    log: Path
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to it."""
        return {"PREFECT_API_URL": self.api_url, "PREFECT_HOME": str(self.home), **NO_OUTBOUND}

    def ask(self, path: str, body: Any = None) -> Any:
        """What it says (POST where there is a body); it is asked again while its SQLite file is locked (503)."""
        return json.loads(until(lambda: answers(f"{self.api_url}/{path}", body=body), f"an answer to {path}"))


def restore_interrupts() -> None:
    """Let this process and the processes that it starts receive SIGINT.

    A shell without job control starts background jobs with SIGINT ignored, and child processes inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def process_state(pid: int) -> str:
    """The kernel's letter for it (man 5 proc), such as T for one that is stopped; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to ask how it ended."""
    return process_state(pid) in {"", "Z"}


def free_port() -> int:
    """Return a port that nothing listens on, and that is not handed out to port 0 and to clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def environment(updates: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process' environment for a child: the repository importable, nothing sent outside."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, **NO_OUTBOUND, "PYTHONPATH": os.pathsep.join(paths), **(updates or {})}


def wait_until(
    ready: Callable[[], bool], what: str, *, seconds: float, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Poll `ready` until it is true.

    Raises
    ------
    RuntimeError
        The process ended, or the time is over; with the end of its log.
    """
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not answer within {seconds:.0f} s:\n{_tail(log)}")
        time.sleep(0.05)


def answers(url: str, *, body: Any = None) -> bytes | None:
    """Return what a URL on loopback answers (POST where there is a body), or None where it does not, yet."""
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=5) as response:
            content: bytes = response.read()
            return content
    except OSError:
        return None


@contextmanager
def running(
    command: Sequence[object], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in `log`, and end it and its children with the block.

    It leads a process group, so that what it started ends with it; on Linux the kernel ends it if this
    process is killed.
    """
    guard = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*guard, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(env),
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


@contextmanager
def rustac_api(*documents: Path, log: Path) -> Iterator[str]:
    """Serve collection and item-collection files as a STAC API, in memory; give its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [_BIN / "rustac", "serve", "--addr", f"127.0.0.1:{port}", *documents]
    with running(command, log) as process:
        wait_until(lambda: answers(url) is not None, "rustac serve", seconds=60, process=process, log=log)
        yield url


@contextmanager
def dask_cluster(
    folder: Path,
    *,
    workers: int = 2,
    threads: int = 1,
    env: Mapping[str, str] | None = None,
    nanny: tuple[str, ...] | None = None,
) -> Iterator[DaskCluster]:
    """Run a Dask scheduler and its workers; `folder` gets their logs and scratch files.

    Parameters
    ----------
    nanny
        Options of workers that are started again when they die; the process ids are then those of their nannies.
    """
    place = folder / "scheduler.json"
    log = folder / "scheduler.log"
    dask = [sys.executable, "-m", "dask"]
    quiet = ["--no-dashboard", "--host", "127.0.0.1"]
    with ExitStack() as stack:
        command = [*dask, "scheduler", *quiet, "--port", "0", "--scheduler-file", place]
        scheduler = stack.enter_context(running(command, log, env=env))

        logs = [folder / f"worker-{number}.log" for number in range(workers)]
        processes = [
            stack.enter_context(
                running(
                    [
                        *(*dask, "worker", *quiet, "--scheduler-file", place),
                        *(("--no-nanny",) if nanny is None else ("--nanny", *nanny)),
                        *("--nthreads", str(threads), "--name", f"worker-{number}", "--death-timeout", "60"),
                        *("--local-directory", folder / f"worker-{number}"),
                    ],
                    log_of_worker,
                    env=env,
                )
            )
            for number, log_of_worker in enumerate(logs)
        ]
        # A worker waits for the scheduler's file by itself, so all of them start at the same time.
        wait_until(lambda: _has_json(place), "dask scheduler", seconds=60, process=scheduler, log=log)
        for process, log_of_worker in zip(processes, logs, strict=True):
            wait_until(
                lambda log_of_worker=log_of_worker: "Registered to" in _tail(log_of_worker, 100_000),  # type: ignore[misc]
                "dask worker",
                seconds=60,
                process=process,
                log=log_of_worker,
            )
        address = json.loads(place.read_text())["address"]
        yield DaskCluster(address, scheduler.pid, tuple(process.pid for process in processes), folder)


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's S3 in a thread of this process; give its endpoint URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(endpoint_url: str) -> S3:
    """Make a bucket with a name of its own."""
    import boto3

    bucket = f"cube-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=S3_KEY,
        aws_secret_access_key=S3_KEY,
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    return S3(endpoint_url, bucket)


@contextmanager
def prefect_server(
    folder: Path, *, port: int | None = None, home: Path | None = None, ui: bool = False
) -> Iterator[PrefectServer]:
    """Run a Prefect server; its database lies in `home`, its log in `folder`.

    Parameters
    ----------
    ui
        Serve the pages of the UI too, for a test that looks at them.
    """
    port = port or free_port()
    home = home or folder / "prefect"
    api_url = f"http://127.0.0.1:{port}/api"
    log = folder / "prefect-server.log"
    env = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_UI_API_URL": api_url,  # else the pages call port 4200
        "PREFECT_SERVER_UI_ENABLED": str(ui).lower(),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, log, env=env) as process:
        wait_until(
            lambda: answers(f"{api_url}/health") is not None,
            "prefect server",
            seconds=120,
            process=process,
            log=log,
        )
        yield PrefectServer(api_url, home, log, process.pid)


@contextmanager
def prefect_worker(
    server: PrefectServer, folder: Path, *, pool: str, env: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run a process worker on a work pool, made where there is none; it is online when the block begins."""
    log = folder / f"prefect-worker-{pool}.log"
    name = f"worker-{uuid.uuid4().hex[:8]}"
    command = [
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--type",
        "process",
        "--pool",
        pool,
        "--name",
        name,
    ]

    def online() -> bool:
        found = answers(f"{server.api_url}/work_pools/{pool}/workers/filter", body={})
        return any(worker["name"] == name and worker["status"] == "ONLINE" for worker in json.loads(found or b"[]"))

    with running(command, log, env={**server.environment, **(env or {})}) as process:
        wait_until(online, "prefect worker", seconds=90, process=process, log=log)
        yield Service(process.pid, log)


def close_and_wait(process: subprocess.Popen[str]) -> None:
    """End a process that ends when its standard input does."""
    with process:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def _has_json(file: Path) -> bool:
    """Say whether a file is there and whole."""
    try:
        return bool(json.loads(file.read_text()))
    except (OSError, ValueError):
        return False


def _tail(log: Path, size: int = 3_000) -> str:
    try:
        return log.read_text(errors="replace")[-size:]
    except FileNotFoundError:
        return "(no log)"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process by its id, then whatever is left of the group that it leads."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):  # nothing was left
        os.killpg(process.pid, signal.SIGKILL)
