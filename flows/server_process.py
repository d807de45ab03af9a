"""The process of Prefect's temporary server, which ends with the process that started it."""

import os
import socket
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn import Server

_GRACE_SECONDS = 5.0
"""Seconds that the server has to write the events that it received, as Prefect gives it."""
_server: "list[Server]" = []


def main() -> None:
    """Serve on the socket with the number `sys.argv[1]` until standard input is closed."""
    Thread(target=_end_with_input, daemon=True).start()  # first, because the imports take seconds
    from prefect.server.api.server import create_app
    from uvicorn import Config, Server

    server = Server(Config(create_app, factory=True, log_level="error", lifespan="on"))
    _server.append(server)
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


def _end_with_input() -> None:
    """End the process when no process is left that can write to its standard input."""
    while os.read(0, 1):
        pass
    for server in _server:
        server.should_exit = True
        time.sleep(_GRACE_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
