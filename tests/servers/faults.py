"""An HTTP server on loopback that records requests, and injects and counts faults.

Subclasses define the responses (`LoopbackServer.answer`); this module sends them, or lets them fail.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.address import HOST

Kind = Literal["status", "reset", "truncate", "delay", "slow"]
_SLOW_PIECES = 10


@dataclass(frozen=True, slots=True)
class Request:
    """One request and its response."""

    method: str
    path: str
    """Decoded, without the leading slash and the query."""
    query: dict[str, str]
    range: str | None
    """The `Range` header."""
    body: Any
    """JSON body of a POST, else None."""
    status: int | None
    """HTTP status, or None if the connection was reset without a response."""
    sent: int
    """Bytes of the body that were sent."""
    fault: Kind | None
    """Kind of the fault that struck the request, or None."""
    headers: dict[str, str]
    """Headers by name, each word of which begins with a capital letter."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A response. A HEAD request gets only its headers."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, document: Any, status: int = HTTPStatus.OK, media_type: str = "application/json") -> Reply:
        """Wrap a JSON document."""
        return cls(status, json.dumps(document).encode(), {"Content-Type": f"{media_type}; charset=utf-8"})


@dataclass(slots=True, kw_only=True)
class Rule:
    """Requests that fail, and how often; `fired` counts them."""

    path: str = "*"
    """Glob; `*` matches slashes too."""
    method: str | None = None
    times: int | None = 1
    skip: int = 0
    fired: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Return whether a request fails, and count it. The caller holds the lock of the server."""
        if self.times is not None and self.fired >= self.times:
            return False
        if self.method not in (None, method) or not fnmatchcase(path, self.path.lstrip("/")):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.fired += 1
        return True


@dataclass(slots=True, kw_only=True)
class Fault(Rule):
    """A rule with the kind of failure."""

    kind: Kind
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


class LoopbackServer:
    """A threaded HTTP/1.1 server on a free port of 127.0.0.1, running while its context is active.

    Subclasses override `answer`, which several threads call at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[Fault] = []
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._http = _Http((HOST, 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        # Kept-alive connections would keep threads and client pools alive after the test.
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            _shut(connection)
        self._thread.join(timeout=10)

    @property
    def origin(self) -> str:
        """Root URL of the server, without a final slash: `http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self._http.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """Requests since the start or the last `reset`, in the order of the responses."""
        with self._lock:
            return list(self._requests)

    def reset(self) -> None:
        """Clear the list of requests. Faults and their counts remain; `heal` removes them."""
        with self._lock:
            self._requests.clear()

    def fail(
        self,
        path: str = "*",
        *,
        times: int | None = 1,
        kind: Kind = "status",
        status: int = HTTPStatus.SERVICE_UNAVAILABLE,
        retry_after: int | None = None,
        seconds: float = 0.0,
        method: str | None = None,
        skip: int = 0,
    ) -> Fault:
        """Let requests fail from now on. Of several matching rules the oldest applies.

        Parameters
        ----------
        path
            Glob of paths; `*` matches slashes too.
        times
            Number of requests that fail; None means all.
        kind
            `status`: answer with `status` and no content. `reset`: close the connection without a response.
            `truncate`: announce the whole body and send half of it. `delay`: answer correctly after `seconds`.
            `slow`: answer correctly, with the body in parts that take `seconds` in total.
        retry_after
            Seconds of a `Retry-After` header.
        method
            Method of the requests that fail; None means all methods.
        skip
            Number of matching requests that succeed first.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        fault = Fault(
            path=path, method=method, times=times, skip=skip,
            kind=kind, status=status, seconds=seconds, headers=headers,
        )  # fmt: skip
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._faults.clear()

    def answer(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        """Return the response to a request without a fault."""
        raise NotImplementedError

    def _struck(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._faults if fault.strikes(method, path)), None)

    def _record(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)


class _Http(ThreadingHTTPServer):
    owner: LoopbackServer
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection early, as GDAL does."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two packets: with Nagle's algorithm each response would wait 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.owner: LoopbackServer = self.server.owner  # type: ignore[attr-defined]
        with self.owner._lock:
            self.owner._open.add(self.connection)

    def finish(self) -> None:
        with self.owner._lock:
            self.owner._open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing, because requests are recorded."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).lstrip("/"), dict(parse_qsl(parts.query, keep_blank_values=True))
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(content) if content else None
        # Header names are case-insensitive: hyper, the client of obstore, sends them in lower case.
        headers = {name.title(): value for name, value in self.headers.items()}
        fault = self.owner._struck(self.command, path)
        kind = fault.kind if fault else None
        if fault and kind == "delay":
            self.owner._stopping.wait(fault.seconds)
        if kind == "reset":
            reply, status, sent = Reply(), None, 0
        else:
            if fault and kind == "status":
                reply = Reply(fault.status, f"{HTTPStatus(fault.status).phrase}\n".encode(), fault.headers)
            else:
                reply = self.owner.answer(self.command, path, query, headers, body)
            status = reply.status
            sent = 0 if self.command == "HEAD" else len(reply.body) // (2 if kind == "truncate" else 1)
        # Recorded before the response is sent, so that a client with the response finds its request in the list.
        self.owner._record(
            Request(self.command, path, query, self.headers.get("Range"), body, status, sent, kind, headers)
        )
        if status is None:
            _reset(self.connection)
            self.close_connection = True
            return
        self._send(reply, sent, fault.seconds if fault and kind == "slow" else 0.0)
        if kind == "truncate":
            self.close_connection = True

    def _send(self, reply: Reply, sent: int, seconds: float) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Connection", "keep-alive")
        self.end_headers()
        size = -(-sent // _SLOW_PIECES) if seconds else max(1, sent)
        for start in range(0, sent, size):
            self.owner._stopping.wait(seconds / _SLOW_PIECES)
            self.wfile.write(reply.body[start : min(sent, start + size)])

    do_GET = do_HEAD = do_POST = _serve  # noqa: N815 - names that http.server requires


def _reset(connection: socket.socket) -> None:
    """Close with a TCP reset: lingering for zero seconds drops unsent data."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the client closed it before
        connection.shutdown(socket.SHUT_RDWR)
