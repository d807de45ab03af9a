"""Run a flow from the command line, with Prefect's settings and progress."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from ardcube.redaction import WithoutSecrets
from ardcube.runtime.gc_pause import start_up

if TYPE_CHECKING:
    from ardcube.report.summary import BuildSummary


def configure_prefect(debug: bool) -> None:
    """Set the environment that Prefect reads on import; keep the user's variables.

    Parameters
    ----------
    debug : bool
        Log everything to the console.
    """
    if debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "DEBUG")
        handler = logging.StreamHandler()
        handler.setFormatter(WithoutSecrets(logging.BASIC_FORMAT))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    else:
        # The console shows progress and summary instead; the Prefect server still gets every log line.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        logging.getLogger("ardcube").addHandler(logging.NullHandler())
        _silence_libraries()
    # The temporary server sends no usage data, because the machine may have no network.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Dask's monitor of the interpreter's lock prints a warning on a busy machine, and its figures are used nowhere.
    os.environ.setdefault("DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__GIL__ENABLED", "False")
    # Its profiler keeps the source of all modules that a worker in this process runs, which is 15 MB.
    os.environ.setdefault("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED", "False")
    # A server that stops answering is asked again for four minutes (2, 4, 8 ... seconds); Prefect's default is one.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "7")
    # A machine under load takes longer than Prefect's default to start the temporary server.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")


def configure_process(debug: bool) -> None:
    """Configure memory and Prefect of a process that builds, before it starts threads.

    Parameters
    ----------
    debug : bool
        Log everything to the console.
    """
    from ardcube.runtime.allocator import configure_process

    configure_process()
    configure_prefect(debug)


def _silence_libraries() -> None:
    """Hide warnings of libraries that a user can neither understand nor act on."""
    # Dask looks for the address of this machine in the Internet, and takes that of its host name if there is no route.
    warnings.filterwarnings("ignore", "Couldn't detect a suitable IP address", RuntimeWarning)
    # Semaphores of a process that was stopped are removed by a process of Python, which is started with these options.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")


def run_flow(flow: "Callable[[], BuildSummary]", *, builds: bool) -> None:
    """Run a flow, show its progress, and print its summary.

    Parameters
    ----------
    flow : callable
        Calls the flow.
    builds : bool
        Whether chunks are built in this process.

    Raises
    ------
    ChunksFailedError
        If chunks are missing, after the summary was printed.
    """
    with start_up():
        from ardcube.report.summary import ChunksFailedError
        from flows.console import ConsoleProgress, new_console, print_summary
        from flows.outage_lines import outages_printed
        from flows.progress import reporting
        from flows.temporary_server import start_server

        start_server(meanwhile=lambda: import_libraries(kernels=builds))
    console = new_console()
    progress = ConsoleProgress(console)
    try:
        with reporting(progress), outages_printed(console):
            summary = flow()
    except ChunksFailedError as error:
        progress.finished()
        print_summary(console, error.summary)
        raise
    finally:
        progress.finished()
    print_summary(console, summary)


def import_libraries(*, kernels: bool) -> None:
    """Import the libraries of a flow, and the compiled kernels (60 MB); leave errors to their users."""
    with suppress(ImportError):
        # Prefect imports fastapi to send the parameters of a flow.
        for name in ("flows.build_cube", "ardcube.ledger.manifest", "ardcube.chunk.build", "distributed", "fastapi"):
            import_module(name)
        if kernels:
            import_module("ardcube.kernels.sampling")
