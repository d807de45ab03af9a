"""A proxy in front of a real S3 store that forwards requests, and injects and counts faults.

Signatures of S3 include the `Host` header. The proxy forwards it unchanged, so that a store that checks signatures
(radosgw) accepts the requests.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from tests.servers.faults import Rule

Kind = Literal["status", "reset", "lost", "hang", "mute", "truncate"]
_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{0}</Code><Message>{0} from the proxy</Message></Error>"
_NOT_RETURNED = ("connection", "transfer-encoding", "date", "server", "content-length")

_CONDITIONS = ("if-match", "if-none-match")


@dataclass(slots=True, kw_only=True)
class Strike(Rule):
    """A rule with the kind of failure."""

    kind: Kind
    status: int = 503
    code: str = "SlowDown"


class FaultyProxy:
    """Forward requests to the store at an endpoint while its context is active.

    Parameters
    ----------
    endpoint_url : str
        Endpoint of the store: http://127.0.0.1:PORT.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.behind = urlsplit(endpoint_url).netloc
        self.drops_conditions = False
        """Whether the store behind ignores the conditions of a PUT, since it never gets them."""
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._strikes: list[Strike] = []
        self._requests: list[tuple[str, str]] = []
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close all connections and refuse new ones, as if no server were there."""
        self._http.shutdown()
        self._http.server_close()
        self._http.close_connections()
        self._thread.join(timeout=10)

    def start(self) -> None:
        """Listen again, on the same port."""
        self._listen(self._http.server_address[1])
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """Endpoint for clients."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def requests(self, method: str, path: str = "*") -> list[str]:
        """Return the paths (bucket/key) of requests with a method, in order, with or without fault."""
        with self._lock:
            return [requested for verb, requested in self._requests if verb == method and fnmatchcase(requested, path)]

    def fail(
        self,
        kind: Kind,
        *,
        method: str | None = "PUT",
        path: str = "*",
        times: int | None = 1,
        skip: int = 0,
        status: int = 503,
        code: str = "SlowDown",
    ) -> Strike:
        """Let requests fail from now on. Of several matching rules the oldest applies.

        Parameters
        ----------
        kind
            `status`: answer with an S3 error, and do not forward. `reset`: reset the connection, and do not forward.
            `lost`: forward, then reset the connection. `hang`: do not read the body, and do not answer. `mute`:
            forward, and do not answer. `truncate`: forward, send half of the response's body, then close.
        path
            Glob of bucket and key; `*` matches slashes too.
        times
            Number of requests that fail; None means all.
        skip
            Number of matching requests that succeed first.
        """
        strike = Strike(path=path, method=method, times=times, skip=skip, kind=kind, status=status, code=code)
        with self._lock:
            self._strikes.append(strike)
        return strike

    def heal(self) -> None:
        """Remove every rule; hanging requests continue to hang."""
        with self._lock:
            self._strikes.clear()

    def struck(self, method: str, path: str) -> Strike | None:
        """Record a request; return the rule that applies to it, or None."""
        with self._lock:
            self._requests.append((method, path))
            return next((strike for strike in self._strikes if strike.strikes(method, path)), None)


class _Http(ThreadingHTTPServer):
    owner: FaultyProxy
    request_queue_size = 256
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def close_connections(self) -> None:
        """End the connections that clients keep open between requests."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def handle_expect_100(self) -> bool:
        """Delay the request for the body until the fault is known."""
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing, because requests are recorded."""

    def _serve(self) -> None:
        proxy = self.server.owner
        strike = proxy.struck(self.command, unquote(urlsplit(self.path).path).lstrip("/"))
        kind = strike.kind if strike else None
        if kind == "hang":
            self._hang()
            return
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if kind == "reset":
            self._reset()
        elif strike is not None and kind == "status":
            self._answer(strike.status, {"Content-Type": "application/xml"}, _ERROR.format(strike.code).encode())
        else:
            status, headers, content = self._forward(body)
            if kind == "lost":
                self._reset()
            elif kind == "mute":
                self._hang()
            elif kind == "truncate":
                self._answer(status, headers, content, sent=len(content) // 2)
                self.close_connection = True
            else:
                self._answer(status, headers, content)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        behind = http.client.HTTPConnection(self.server.owner.behind, timeout=60)
        try:
            dropped = {"expect", *(_CONDITIONS if self.server.owner.drops_conditions else ())}
            sent = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            behind.request(self.command, self.path, body or None, sent)
            answer = behind.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            behind.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_RETURNED:
                self.send_header(name, value)
        length = headers.get("Content-Length", len(content)) if self.command == "HEAD" else len(content)
        if status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent])

    def _hang(self) -> None:
        self.server.owner.over.wait(300)
        self.close_connection = True

    def _reset(self) -> None:
        """Close with a TCP reset: lingering for zero seconds drops unsent data."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names that http.server requires
