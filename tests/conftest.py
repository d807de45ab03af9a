"""Fixtures: real services on loopback, real scenes if available, and no connection to other machines."""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.servers import processes
from tests.servers.earth_search import EarthSearch
from tests.servers.processes import S3, DaskCluster, PrefectServer
from tests.servers.range_server import RangeServer

_REAL = Path(os.environ.get("ARDCUBE_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "real")
_NO_REAL = f"no real scenes: {_REAL} does not exist; set ARDCUBE_REAL_DATA to the folder that contains scenes/"
_SAMPLE = os.environ.get("ARDCUBE_SAMPLE")
"""Folder of a sample archive that this version of ardcube wrote, to be copied. Writing one costs 13 seconds of CPU."""

# Prefect reads its settings at import, and child processes inherit them. So the port of the session's server is chosen
# here, before any import of Prefect. The fixture `prefect_server` starts the server. A flow in a test without this
# fixture fails instead of starting a temporary server.
_PREFECT_PORT = processes.free_port()
_PREFECT_HOME = Path(tempfile.mkdtemp(prefix="ardcube-prefect-"))
_DEAD_PROXY = "http://127.0.0.1:9"
_ENVIRONMENT = {
    **processes.NO_OUTBOUND,
    "PREFECT_HOME": str(_PREFECT_HOME),
    "PREFECT_API_URL": f"http://127.0.0.1:{_PREFECT_PORT}/api",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",  # the last lines would be sent after the server stopped
    "PREFECT_PROFILES_PATH": str(_PREFECT_HOME / "profiles.toml"),
    # `_loopback_only` does not reach child processes and GDAL. A proxy that does not exist blocks their HTTP requests.
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _DEAD_PROXY),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1"),
}

_TESTS = Path(__file__).resolve().parent
_UNIT_PACKAGES = ("catalog", "config", "extent", "kernels", "pixels", "planning", "raster", "report", "runtime")
_UNIT = (
    *(_TESTS / "ardcube" / package for package in _UNIT_PACKAGES),
    _TESTS / "ardcube" / "store" / "test_geozarr_validator.py",
    _TESTS / "ardcube" / "test_redaction.py",
    _TESTS / "test_architecture.py",
)
"""Folders and files of the unit ring: packages that need no store, no lease and no orchestration."""
_SERVER_FIXTURES = {"dask_cluster", "earth_search", "moto_s3", "prefect_server", "range_server", "rustac_api"}


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before a test module is imported."""
    if "prefect" in sys.modules:
        raise pytest.UsageError("prefect is imported before its settings are made; remove the plugin that imports it")
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "AWS_", "ARDCUBE_"))]:
        if name != "ARDCUBE_REAL_DATA":
            del os.environ[name]  # a developer's own settings are not part of a test
    os.environ.update(_ENVIRONMENT)
    processes.restore_interrupts()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder of the session's Prefect server."""
    shutil.rmtree(_PREFECT_HOME, ignore_errors=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import only files with tests of the unit ring if it alone is wanted: all files take twice as long."""
    if config.option.markexpr != "unit" or not collection_path.match("test_*.py"):
        return None
    wanted = _in_unit_ring(collection_path) or "mark.unit" in collection_path.read_text()
    return None if wanted else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit ring; skip the tests marked `real` if the real scenes are absent."""
    for item in items:
        if _is_unit(item):
            item.add_marker(pytest.mark.unit)
        if item.get_closest_marker("real") and not _REAL.is_dir():
            item.add_marker(pytest.mark.skip(reason=_NO_REAL))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, as `--dist loadfile` does, and those of all deployments."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            folder = file.rpartition("/")[0]
            return folder if folder.endswith("deployments") else file  # they share a worker of Prefect

    return Scheduling(config, log)


def _is_unit(item: pytest.Item) -> bool:
    """Whether a test belongs to the unit ring: a pure package, no server, neither `slow` nor `deep`."""
    if item.get_closest_marker("slow") or item.get_closest_marker("deep"):
        return False
    if _SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
        return False
    return _in_unit_ring(item.path)


def _in_unit_ring(path: Path) -> bool:
    return any(path == place or place in path.parents for place in _UNIT)


class ForeignAddressError(RuntimeError):
    """A test connects to another machine. Not an OSError, because those are retried as transient errors."""


def _guard_address(address: Any) -> None:
    if not isinstance(address, tuple):
        return  # a Unix socket
    host = str(address[0])
    if host in ("localhost", ""):
        return
    try:
        inside = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        inside = None
    if inside is None or not (inside.is_loopback or inside.is_unspecified):
        raise ForeignAddressError(f"{host} is not on this machine; a test may connect to 127.0.0.1 only")


@pytest.fixture(autouse=True)
def _same_settings() -> Iterator[None]:
    """Undo the settings that the command makes when it runs in this process: child processes would inherit them."""

    def settings() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith(("PREFECT_", "DASK_"))}

    before, distributed = settings(), logging.getLogger("distributed")
    level, options = distributed.level, list(sys.warnoptions)
    yield
    sys.warnoptions[:] = options
    for name in settings():
        del os.environ[name]
    os.environ.update(before)
    distributed.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse, in this process, connections to other machines, and the look-up of their names."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
    local = {"localhost", "", socket.gethostname()}

    def guarded_connect(self: socket.socket, address: Any) -> None:
        # Connecting a datagram socket sends nothing; Dask does it to learn this machine's address.
        if self.type != socket.SOCK_DGRAM:
            _guard_address(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if self.type != socket.SOCK_DGRAM:
            _guard_address(address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in local:
            _guard_address((name,))
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """Return the folder of real Sentinel-2 scenes and recorded STAC exchanges; skip if it is absent."""
    if not _REAL.is_dir():
        pytest.skip(_NO_REAL)
    return _REAL


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def sample_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a synthetic Sentinel-2 archive with STAC items. All processes share it: do not write."""
    from ardcube.sample import write_archive

    folder = shared_folder(tmp_path_factory) / "sample"
    with FileLock(folder.with_suffix(".lock")):
        if _SAMPLE and not folder.exists():
            shutil.copytree(_SAMPLE, folder)
        write_archive(folder)  # keeps an existing archive, if it is complete
    return folder


@pytest.fixture
def range_server() -> Iterator[Callable[[Path], RangeServer]]:
    """Serve folders over HTTP with range requests: `range_server(folder).url`."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(RangeServer(folder))


@pytest.fixture
def earth_search() -> Iterator[Callable[[Iterable[Any], Iterable[Any]], EarthSearch]]:
    """Serve collections and items as Earth Search does: `earth_search([collection], items).url`."""
    with ExitStack() as stack:
        yield lambda collections, items: stack.enter_context(EarthSearch(collections, items))


@pytest.fixture
def rustac_api(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve collection and item-collection files as a STAC API: `rustac_api(collection, items)` is a URL."""
    with ExitStack() as stack:
        yield lambda *documents: stack.enter_context(processes.rustac_api(*documents, log=tmp_path / "rustac.log"))


@pytest.fixture(scope="session")
def _moto() -> Iterator[str]:
    with processes.moto_server() as endpoint_url:
        yield endpoint_url


@pytest.fixture
def moto_s3(_moto: str) -> S3:
    """Return S3 access to an empty bucket."""
    return processes.make_bucket(_moto)


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Start a Dask cluster with two workers. Tests share it: to kill workers, start `processes.dask_cluster`."""
    with processes.dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty database of Prefect, to be copied: its creation costs five seconds of CPU."""
    home = shared_folder(tmp_path_factory) / "prefect-database"
    with FileLock(home.with_suffix(".lock")):
        if not (home / processes.PREFECT_DATABASE).exists():
            processes.create_prefect_database(home)
    return home / processes.PREFECT_DATABASE


@pytest.fixture
def prefect_home(prefect_database: Path, tmp_path: Path) -> Path:
    """Return a home of Prefect with an empty database, for a server of one test."""
    home = tmp_path / "prefect-home"
    home.mkdir()
    shutil.copy(prefect_database, home)
    return home


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[PrefectServer]:
    """Start the session's Prefect server. Flows in this process and in child processes use it by default."""
    shutil.copy(prefect_database, _PREFECT_HOME)
    folder = tmp_path_factory.mktemp("prefect")
    with processes.prefect_server(folder, port=_PREFECT_PORT, home=_PREFECT_HOME, ui=True) as server:
        yield server
