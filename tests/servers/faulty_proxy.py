"""A proxy before a real S3 store that passes requests on, and fails chosen ones on demand, counting each.

Signatures of S3 include the `Host` header: it is passed on as the client wrote it, so that a store which checks them
(radosgw) takes what comes through here.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from tests.servers.faults import Rule

Kind = Literal["status", "reset", "lost", "hang", "mute", "truncate"]
_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{0}</Code><Message>{0}, says the proxy</Message></Error>"
_PASSED_BACK = ("connection", "transfer-encoding", "date", "server", "content-length")


@dataclass(slots=True, kw_only=True)
class Strike(Rule):
    """How requests fail."""

    kind: Kind
    status: int = 503
    code: str = "SlowDown"


class FaultyProxy:
    """Passes requests on to the store at an endpoint, between `with` and its end.

    Parameters
    ----------
    endpoint_url : str
        Of the store: http://127.0.0.1:PORT.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.behind = urlsplit(endpoint_url).netloc
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._strikes: list[Strike] = []
        self._requests: list[tuple[str, str]] = []
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=10)

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def requests(self, method: str, path: str = "*") -> list[str]:
        """Paths (bucket/key) that were asked for so, in order, struck or not."""
        with self._lock:
            return [asked for how, asked in self._requests if how == method and fnmatchcase(asked, path)]

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
        """Let requests fail from now on. Of several rules the first one made that strikes wins.

        Parameters
        ----------
        kind
            `status`: answered with an S3 error, and not passed on. `reset`: the connection is reset, and nothing
            passed on. `lost`: passed on and applied, then the connection is reset. `hang`: the body is never asked
            for, and no answer given. `mute`: passed on and applied, and never answered. `truncate`: half of the
            answer's body, then the end of the connection.
        path
            Glob of bucket and key; `*` matches slashes too.
        times
            How often; None is always.
        skip
            How many matching requests pass first.
        """
        strike = Strike(path=path, method=method, times=times, skip=skip, kind=kind, status=status, code=code)
        with self._lock:
            self._strikes.append(strike)
        return strike

    def heal(self) -> None:
        """Remove every rule; who hangs, hangs on."""
        with self._lock:
            self._strikes.clear()

    def struck(self, method: str, path: str) -> Strike | None:
        """Note a request and find what is to happen to it."""
        with self._lock:
            self._requests.append((method, path))
            return next((strike for strike in self._strikes if strike.strikes(method, path)), None)


class _Http(ThreadingHTTPServer):
    owner: FaultyProxy
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that have given up are part of the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def handle_expect_100(self) -> bool:
        """Do not ask for the body yet: whether it is to be asked for is decided below."""
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are recorded, not printed."""

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
            status, headers, content = self._pass_on(body)
            if kind == "lost":
                self._reset()
            elif kind == "mute":
                self._hang()
            elif kind == "truncate":
                self._answer(status, headers, content, sent=len(content) // 2)
                self.close_connection = True
            else:
                self._answer(status, headers, content)

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        behind = http.client.HTTPConnection(self.server.owner.behind, timeout=60)
        try:
            sent = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            behind.request(self.command, self.path, body or None, sent)
            answer = behind.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            behind.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _PASSED_BACK:
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
        """Close with a TCP reset: lingering for zero seconds drops what was not sent."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names that http.server looks for
