"""Continue a run although nobody reads its output any more.

The reader of a pipe may end before the run: `head` after its first lines, or a Prefect worker that is killed. Then rich
ends the thread that prints.
"""

import logging
import os
from contextlib import suppress
from functools import partial

from rich.console import Console


class LastingConsole(Console):
    """A console that discards its output after the reader of the output has ended."""

    def on_broken_pipe(self) -> None:
        """Discard this output and all that follows."""
        discard(self)


def let_handlers_last() -> None:
    """Let the log handlers of Prefect discard their lines after the reader of the output has ended."""
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    for handler in (handler for logger in loggers for handler in getattr(logger, "handlers", ())):
        console = getattr(handler, "console", None)
        if isinstance(console, Console):
            console.on_broken_pipe = partial(discard, console)  # type: ignore[method-assign]


def discard(console: Console) -> None:
    """Connect the output of a console to the null device, for all that write to it."""
    with suppress(OSError, ValueError):  # it is no file
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, console.file.fileno())
        os.close(null)
