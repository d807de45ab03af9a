"""The process of Prefect's temporary server, which ends with the process that started it."""

import os
import runpy
import signal
import sys
import time
from importlib import import_module
from threading import Thread

from ardcube.runtime.gc_pause import start_up

_GRACE_SECONDS = 5.0
"""Seconds that the server has to write the events that it received, as Prefect gives it."""


def main() -> None:
    """Serve on the socket with the number `sys.argv[1]` until standard input is closed."""
    Thread(target=_end_with_input, daemon=True).start()  # first, because the imports take seconds
    with start_up():
        import_module("prefect.server.api.server")
    application = ("--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "error")
    sys.argv = ["uvicorn", *application, "--fd", sys.argv[1]]
    runpy.run_module("uvicorn", run_name="__main__")


def _end_with_input() -> None:
    """End the process when no process is left that can write to its standard input."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
