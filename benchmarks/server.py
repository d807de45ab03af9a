"""Serve the archive over HTTP with nginx, a log and an optional latency."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format plain '$request_method $status $body_bytes_sent "$http_range" $uri';
    access_log {home}/access.log plain;
    client_body_temp_path {home}/t; proxy_temp_path {home}/t; fastcgi_temp_path {home}/t;
    uwsgi_temp_path {home}/t; scgi_temp_path {home}/t;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    types {{ image/tiff tif; application/json json; }}
    server {{
        listen 127.0.0.1:{port};
        # The same files with other URLs, for more dates than the archive has.
        location ~ ^/again/[0-9]+/(.+)$ {{ alias {root}/$1; }}
        # And with further URLs, for requests of a process before its measurement.
        location ~ ^/before/again/[0-9]+/(.+)$ {{ access_log off; alias {root}/$1; }}
        location ~ ^/before/(.+)$ {{ access_log off; alias {root}/$1; }}
        location / {{ root {root}; }}
    }}
}}
"""
_LOGGED = re.compile(r'\S+ (?P<status>\d+) (?P<bytes>\d+) "(?:bytes=(?P<start>\d+)-\d*)?[^"]*" (?P<path>.*)')
_HEAD_LIMIT = 1 << 16
_PIECE = 1 << 20
_START_SECONDS = 10.0


class ServerError(RuntimeError):
    """The server is missing or did not start."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a client, as the server logged it."""

    path: str
    status: int
    bytes: int
    """Bytes of the response body."""
    start: int
    """First byte of the requested range."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of a client."""

    requests: int
    bytes: int
    """Bytes of response bodies."""
    files: int
    failures: int
    """Responses with status 400 and above."""


@dataclass(slots=True)
class Server:
    """A running server."""

    url: str
    _log: Path
    _position: int = 0

    def traffic(self) -> Traffic:
        """Count the requests since the last call."""
        requests = self.requests()
        return Traffic(
            requests=len(requests),
            bytes=sum(one.bytes for one in requests),
            files=len({one.path for one in requests}),
            failures=sum(one.status >= 400 for one in requests),
        )

    def requests(self) -> list[Request]:
        """Return the requests since the last call."""
        time.sleep(0.05)  # nginx logs a request after its last byte, which a client may not wait for
        with self._log.open() as log:
            log.seek(self._position)
            lines = log.read().splitlines()
            self._position = log.tell()
        return [_parsed(line) for line in lines]


def _parsed(line: str) -> Request:
    match = _LOGGED.fullmatch(line)
    assert match, line
    return Request(match["path"], int(match["status"]), int(match["bytes"]), int(match["start"] or 0))


def nginx_path() -> str | None:
    """Return the path of nginx.

    Debian does not put it on the path of ordinary users.
    """
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free at the time of the call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(root: Path, latency: float = 0.0) -> Iterator[Server]:
    """Serve a folder with nginx while the block runs.

    Parameters
    ----------
    root : Path
        Folder of an archive.
    latency : float
        Seconds before each request reaches nginx.

    Raises
    ------
    ServerError
        If nginx is missing or does not start.
    """
    nginx = nginx_path()
    if nginx is None:
        raise ServerError("nginx is missing; install it (Debian, Ubuntu: apt-get install nginx-light)")
    home = Path(tempfile.mkdtemp(prefix="ardcube-nginx-"))
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # otherwise its workers cannot read a folder of root
    (home / "nginx.conf").write_text(_CONFIGURATION.format(home=home, root=root.resolve(), port=port, user=user))
    commands = [[nginx, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]]
    if latency:
        outer = free_port()
        commands.append([sys.executable, "-m", "benchmarks.server", str(outer), str(port), str(latency)])
    children: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            children.append(subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL))
            _wait_for(port if len(children) == 1 else outer, children[-1])
        yield Server(f"http://127.0.0.1:{outer if latency else port}", home / "access.log")
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and child.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise ServerError(f"{child.args} does not listen on port {port}")


async def _delay(port: int, upstream: int, seconds: float) -> None:
    """Forward connections; delay each request head, but no response."""

    async def requests(client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await client.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(seconds)
                server.write(head)
                await server.drain()
        server.close()

    async def responses(server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await server.read(_PIECE):
                client.write(piece)
                await client.drain()
        client.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", upstream, limit=_PIECE)
        await asyncio.gather(requests(reader, inner[1]), responses(inner[0], writer), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=_HEAD_LIMIT)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="Delay each HTTP request on its way to another port.")
    parser.add_argument("port", type=int)
    parser.add_argument("upstream", type=int)
    parser.add_argument("seconds", type=float)
    chosen = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_delay(chosen.port, chosen.upstream, chosen.seconds))


if __name__ == "__main__":
    main()
