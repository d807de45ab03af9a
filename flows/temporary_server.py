"""Start Prefect's temporary server during imports; end it with the process."""

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
"""Keeps the pipes open, because Python closes a pipe without a reference."""


def start_server(meanwhile: Callable[[], None]) -> None:
    """Start the temporary server and call `meanwhile`, which runs at the same time.

    No server is started if one is configured.

    Only this thread imports, because two threads that import packages which import each other can fail.
    """
    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        meanwhile()
        return
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    starting = Thread(target=_start, args=[server], daemon=True)
    starting.start()
    meanwhile()
    # Prefect would use the server before it answers.
    starting.join()
    _end_with_this_process(server)


def _start(server: "SubprocessASGIServer") -> None:
    with suppress(Exception):  # the flow tries again, and reports the error
        server.start()


def _end_with_this_process(server: "SubprocessASGIServer") -> None:
    """End the server even if this process is killed.

    A shell waits at the end of a pipe, then ends the server.
    """
    shell = shutil.which("sh")
    if shell is None or server.server_process is None:
        return
    watcher = subprocess.Popen(
        [shell, "-c", 'read -r _; kill "$0" 2>&-', str(server.server_process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt from the terminal must not reach the shell
    )
    _watchers.append(watcher)
