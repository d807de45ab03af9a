"""Prefect's temporary server, and what a process does while it waits for it."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from prefect.settings import get_current_settings

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer


_watchers: "list[subprocess.Popen[bytes]]" = []
"""Kept, since a pipe that nobody refers to is closed."""


def start_server(meanwhile: Callable[[], None]) -> None:
    """Start the temporary server where no other is configured, which takes seconds, and do something meanwhile.

    Only this thread imports. Two threads that import packages which import each other can fail in the middle of it.
    """
    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        meanwhile()
        return
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    waiting = Thread(target=_start, args=[server], daemon=True)
    waiting.start()
    meanwhile()
    # Prefect takes a server that is about to start for one that runs.
    waiting.join()
    _ends_with_this_process(server)


def _start(server: "SubprocessASGIServer") -> None:
    with suppress(Exception):  # The flow tries again, and tells what is wrong.
        server.start()


def _ends_with_this_process(server: "SubprocessASGIServer") -> None:
    """Leave no server behind if this process is killed: who waits at its end of a pipe then ends the server."""
    shell = shutil.which("sh")
    if shell is None or server.server_process is None:
        return
    watcher = subprocess.Popen(
        [shell, "-c", 'read -r _; kill "$0" 2>&-', str(server.server_process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt from the terminal is not for it
    )
    _watchers.append(watcher)
