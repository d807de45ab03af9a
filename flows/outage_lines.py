"""Print outages on the terminal, which shows no other log line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from ardcube.redaction import without_secrets
from ardcube.runtime import outages


class _Lines(logging.Handler):
    """Prints the text of each line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(without_secrets(record.getMessage()), highlight=False, soft_wrap=True)


@contextmanager
def outages_printed(console: Console) -> Iterator[None]:
    """Print the beginning and the end of each outage in this block."""
    lines = _Lines(console)
    outages.logger.addHandler(lines)
    try:
        yield
    finally:
        outages.logger.removeHandler(lines)
