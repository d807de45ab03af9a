"""Start real services on free ports, and stop them: rustac, Dask, moto, Prefect.

Each is a context manager that is entered when the service answers, and leaves no process. None waits a fixed time. A
service that ends or does not answer in time is an error that quotes the end of its log.
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
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.address import HOST
from tests.wait_for import until

ROOT = Path(__file__).resolve().parents[2]
_BIN = Path(sys.executable).parent
"""Folder of the console scripts of this environment; the symbolic link of the interpreter is not resolved."""
_GRACE = 3.0
"""Seconds for a process to end by itself before it is killed."""
S3_KEY = "testing"
PREFECT_DATABASE = "prefect.db"
"""Name of the database in the home of a Prefect server."""

NO_OUTBOUND = {
    "DO_NOT_TRACK": "1",  # Prefect's client: usage events
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # Prefect's server: the heartbeat
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "AWS_EC2_METADATA_DISABLED": "true",  # botocore would request credentials from 169.254.169.254
}
"""Environment that prevents services and their clients from sending telemetry."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running process."""

    pid: int
    log: Path


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """A scheduler and its workers, each in a separate process."""

    address: str
    """Address of the scheduler: `tcp://127.0.0.1:PORT`."""
    scheduler_pid: int
    worker_pids: tuple[int, ...]
    """Process ids of the workers; without a nanny, a killed worker is not restarted."""
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
        """Environment variables for a process that uses the bucket."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def uri(self, key: str) -> str:
        """Return the URI of an object, or of the prefix of a store."""
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A Prefect server with a separate database."""

    api_url: str
    home: Path
    log: Path
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a process that uses the server."""
        return {"PREFECT_API_URL": self.api_url, "PREFECT_HOME": str(self.home), **NO_OUTBOUND}

    def ask(self, path: str, body: Any = None) -> Any:
        """Return the response to a GET, or to a POST if there is a body; retry while SQLite is locked (503)."""
        return json.loads(until(lambda: answers(f"{self.api_url}/{path}", body=body), f"an answer to {path}"))


def restore_interrupts() -> None:
    """Let this process and the processes that it starts receive SIGINT.

    A shell without job control starts background jobs with SIGINT ignored, and child processes inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def process_state(pid: int) -> str:
    """Return the state letter of a process (man 5 proc), such as T if it is stopped; empty if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(pid: int) -> bool:
    """Return whether a process does not exist or is a zombie."""
    return process_state(pid) in {"", "Z"}


def free_port() -> int:
    """Return a free port outside the range that the kernel assigns to clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def environment(updates: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child process: the repository is importable, telemetry is off."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, **NO_OUTBOUND, "PYTHONPATH": os.pathsep.join(paths), **(updates or {})}


def wait_until(
    ready: Callable[[], bool], what: str, *, seconds: float, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Poll `ready` until it is true.

    Raises
    ------
    RuntimeError
        If the process ended or did not become ready in time. The message quotes the end of its log.
    """
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not answer within {seconds:.0f} s:\n{_tail(log)}")
        time.sleep(0.05)


def answers(url: str, *, body: Any = None) -> bytes | None:
    """Return the response of a URL on loopback (POST if there is a body), or None if it does not answer."""
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
    """Run a command with its output in `log`; end it and its children when the block ends.

    The command leads a process group, so that its children end with it. On Linux the kernel ends it if this process is
    killed.
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
    """Serve collection and item-collection files as a STAC API from memory; yield its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # rustac follows the links of a collection from the working directory.
    command = ["env", "-C", documents[0].parent, _BIN / "rustac", "serve", "--addr", f"127.0.0.1:{port}", *documents]
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
        Options of workers that a nanny restarts. The process ids are those of the nannies then.
    """
    address_file = folder / "scheduler.json"
    log = folder / "scheduler.log"
    dask = [sys.executable, "-m", "dask"]
    quiet = ["--no-dashboard", "--host", "127.0.0.1"]
    with ExitStack() as stack:
        command = [*dask, "scheduler", *quiet, "--port", "0", "--scheduler-file", address_file]
        scheduler = stack.enter_context(running(command, log, env=env))

        logs = [folder / f"worker-{number}.log" for number in range(workers)]
        where = ("--scheduler-file", address_file)
        processes = [
            stack.enter_context(running(_worker_command(where, log.with_suffix(""), threads, nanny), log, env=env))
            for log in logs
        ]
        # Workers wait for the scheduler's file themselves, so all start at the same time.
        wait_until(lambda: _has_json(address_file), "dask scheduler", seconds=60, process=scheduler, log=log)
        for process, log_of_worker in zip(processes, logs, strict=True):
            wait_until(
                lambda log_of_worker=log_of_worker: "Registered to" in _tail(log_of_worker, 100_000),  # type: ignore[misc]
                "dask worker",
                seconds=60,
                process=process,
                log=log_of_worker,
            )
        address = json.loads(address_file.read_text())["address"]
        yield DaskCluster(address, scheduler.pid, tuple(process.pid for process in processes), folder)


@contextmanager
def dask_worker(
    cluster: DaskCluster, name: str, *, threads: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run one more worker of a cluster, without a nanny."""
    log = cluster.logs / f"{name}.log"
    command = _worker_command((cluster.address,), log.with_suffix(""), threads)
    with running(command, log, env=env) as process:
        registered = lambda: "Registered to" in _tail(log, 100_000)  # noqa: E731
        wait_until(registered, "dask worker", seconds=60, process=process, log=log)
        yield Service(process.pid, log)


def _worker_command(
    scheduler: Sequence[object], folder: Path, threads: int, nanny: tuple[str, ...] | None = None
) -> list[object]:
    """Return the command line of a worker whose name and scratch files are those of a folder."""
    return [
        *(sys.executable, "-m", "dask", "worker", "--no-dashboard", "--host", "127.0.0.1", *scheduler),
        *(("--no-nanny",) if nanny is None else ("--nanny", *nanny)),
        *("--nthreads", str(threads), "--name", folder.name, "--death-timeout", "60", "--local-directory", folder),
    ]


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's S3 in a thread of this process; yield its endpoint URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints each request
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(endpoint_url: str) -> S3:
    """Create a bucket with a unique name."""
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


def create_prefect_database(home: Path) -> None:
    """Create the database of a Prefect server in its home. The file appears when it is complete."""
    with tempfile.TemporaryDirectory(dir=home.parent) as unfinished:
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
            env=environment({"PREFECT_HOME": unfinished}),
            capture_output=True,
            check=True,
        )
        home.mkdir(exist_ok=True)
        # A log of the database would be lost with the folder: SQLite writes it into the file when it is closed.
        assert not Path(unfinished, f"{PREFECT_DATABASE}-wal").exists()
        Path(unfinished, PREFECT_DATABASE).rename(home / PREFECT_DATABASE)


@contextmanager
def prefect_server(
    folder: Path, *, port: int | None = None, home: Path | None = None, ui: bool = False
) -> Iterator[PrefectServer]:
    """Run a Prefect server with its database in `home` and its log in `folder`.

    Parameters
    ----------
    ui
        Whether to serve the pages of the UI.
    """
    port = port or free_port()
    home = home or folder / "prefect"
    api_url = f"http://{HOST}:{port}/api"
    log = folder / "prefect-server.log"
    env = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_UI_API_URL": api_url,  # by default the pages use port 4200
        "PREFECT_SERVER_UI_ENABLED": str(ui).lower(),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
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
    """Run a process worker on a work pool, which is created if missing; wait until the worker is online."""
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
    """Close the standard input of a process and wait until it ends; kill it if it does not."""
    with process:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def _has_json(file: Path) -> bool:
    """Return whether a file contains complete JSON."""
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
    """End a process, then the rest of its process group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):  # the group has no process any more
        os.killpg(process.pid, signal.SIGKILL)
