"""Prefect's temporary server, and what a process does while it waits for it."""

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from prefect.settings import get_current_settings

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer


def start_server(meanwhile: Callable[[], None]) -> None:
    """Start the temporary server where no other is configured, which takes seconds, and do something meanwhile.

    Only this thread imports. Two threads that import packages which import each other can fail in the middle of it.
    """
    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        meanwhile()
        return
    from prefect.server.api.server import SubprocessASGIServer

    waiting = Thread(target=_start, args=[SubprocessASGIServer()], daemon=True)
    waiting.start()
    meanwhile()
    # Prefect takes a server that is about to start for one that runs.
    waiting.join()


def _start(server: "SubprocessASGIServer") -> None:
    with suppress(Exception):  # The flow tries again, and tells what is wrong.
        server.start()
