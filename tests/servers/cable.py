"""A TCP relay on loopback that can drop all data without an error at either end, like a cut cable."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Cable:
    """Relay TCP connections to an address while its context is active.

    Parameters
    ----------
    target : str
        tcp://HOST:PORT.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname, parts.port
        self._is_cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, so that both ends receive an error."""
        self._is_cut.set()
        for end in [self._listener, *self._open]:
            with suppress(OSError):  # the other end closed it
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    @property
    def address(self) -> str:
        """Address for clients."""
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Drop all further data, in both directions."""
        self._is_cut.set()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                near, _ = self._listener.accept()
                self._open.append(near)
                if self._is_cut.is_set():
                    continue  # the connection is accepted, as by a router that drops later packets
                far = socket.create_connection(self._target)
                self._open.append(far)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while sent := source.recv(65536):
                if not self._is_cut.is_set():
                    sink.sendall(sent)
            if not self._is_cut.is_set():
                sink.shutdown(socket.SHUT_WR)
