"""Start Prefect's temporary server during imports; it ends with this process.

Prefect would start one by itself, but imports its server package for that, which costs this process two seconds of CPU
and 78 MB. Its server receives the interrupt of a terminal too, and a killed run leaves it running.
"""

import atexit
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO

from click import ClickException

from flows.signals import before_forced_end

_END_SECONDS = 6.0
"""Seconds to wait at the end of this process for the end of the server."""
_SERVER = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "0",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",  # its check imports Dask, even if no type is registered
}
"""Environment with which Prefect starts a temporary server, and without the import of Dask for types of blocks.

A type of block is registered when a block of it is saved.
"""


def start_server(meanwhile: Callable[[], None]) -> None:
    """Start the temporary server and call `meanwhile`, which runs at the same time.

    This process and the processes that it starts use the new server from now on. If Prefect's settings name a server,
    or allow no temporary one, none is started, or it is killed before it serves: it starts before Prefect is imported,
    which takes half a second and is needed to read a profile.

    Raises
    ------
    ClickException
        If the server does not answer in time.
    """
    if os.environ.get("PREFECT_API_URL"):
        meanwhile()
        return
    with tempfile.TemporaryFile() as errors:
        # This process listens already: requests wait in the socket's queue until the server accepts them.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            # uvicorn takes a socket that it inherits for a Unix socket, and would not set this.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address: tuple[str, int] = listening.getsockname()
            server = _start(listening, errors)
        atexit.register(_end, server)
        before_forced_end(server.kill)

        from prefect.context import refresh_global_settings_context
        from prefect.settings import get_current_settings

        settings = get_current_settings()
        if settings.api.url or not settings.server.ephemeral.enabled:
            server.kill()
            server.wait()
            meanwhile()
            return
        os.environ["PREFECT_API_URL"] = f"http://{address[0]}:{address[1]}/api"
        refresh_global_settings_context()
        meanwhile()
        try:
            _wait(address, settings.server.ephemeral.startup_timeout_seconds)
        except OSError as error:
            raise ClickException(
                f"Prefect's temporary server did not start: {_said(errors) or error}; set PREFECT_API_URL to a server "
                "that runs"
            ) from error


def _start(listening: socket.socket, errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start the server in a new session, which an interrupt from the terminal does not reach."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.server_process", str(listening.fileno())],
        stdin=subprocess.PIPE,  # closed with this process, however it ends
        stdout=subprocess.DEVNULL,
        stderr=errors,
        pass_fds=[listening.fileno()],
        start_new_session=True,
        env=os.environ | _SERVER,
    )


def _wait(address: tuple[str, int], seconds: float) -> None:
    """Wait until the server answers."""
    connection = http.client.HTTPConnection(*address, timeout=seconds)
    try:
        connection.request("GET", "/api/health")
        if (status := connection.getresponse().status) != http.HTTPStatus.OK:
            raise OSError(f"it answers with status {status}")
    finally:
        connection.close()


def _said(errors: IO[bytes]) -> str:
    """Return the line of the server's output that names its error."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    return next(filter(re.compile(r"Error: ").search, lines), lines[-1] if lines else "")


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server, and wait for that, so that nothing is left when the command has ended."""
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
