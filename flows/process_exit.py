"""End the `ardcube` command with one line, an exit code, and no wait for threads."""

import atexit
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import click

from ardcube.errors import ArdcubeError, InputError
from ardcube.redaction import without_secrets
from flows.options import explain_unknown
from flows.signals import (
    INTERRUPTED,
    TERMINATED,
    TerminatedError,
    first_signal,
    force_end,
    nothing_left_to_stop,
)

FAILED = 1
BAD_INPUT = 2
_GRACE_SECONDS = 3.0
"""Seconds that Prefect has to send its last messages after the lease was released."""
_NOTED_SECONDS = 0.05
"""Seconds in which the thread that notes signals has noted one that became an error."""
_stopped_with: list[int] = []
"""Exit code of a command that a signal stopped."""


def run_command(command: Callable[[], object]) -> NoReturn:
    """Run a click command and exit; bad input is one line and exit code 2."""
    atexit.register(_exit_at_once)  # before libraries register theirs, because it must be called after them
    try:
        message, code = _outcome(command)
    except TerminatedError:
        _stop(TERMINATED)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _stop(INTERRUPTED)
    if signalled := first_signal(_NOTED_SECONDS if code else 0):
        _stop(signalled)  # a library made another error of the signal
    nothing_left_to_stop()
    if message:
        _print(message)
    sys.exit(code)


def _outcome(command: Callable[[], object]) -> tuple[str, int]:
    """Run a command; return the line about its error, or an empty string, and its exit code."""
    debug = "--debug" in sys.argv[1:]
    try:
        return "", int(command() or 0)  # type: ignore[call-overload]
    except click.exceptions.Abort:
        raise
    except click.NoSuchOption as error:
        return explain_unknown(error), error.exit_code
    except click.ClickException as error:
        return error.format_message(), error.exit_code
    except Exception as error:  # noqa: BLE001  (the last resort: a person reads one line, whatever it is)
        if debug:
            click.echo(without_secrets(traceback.format_exc()), err=True)
        if isinstance(error, ArdcubeError):
            return str(error), BAD_INPUT if isinstance(error, InputError) else FAILED
        return f"{type(error).__name__}: {error} (--debug shows where)", FAILED


def _stop(code: int) -> NoReturn:
    """Exit within seconds, although threads may still wait for a server."""
    nothing_left_to_stop()
    logging.raiseExceptions = False  # threads that still run find the loggers closed
    last = threading.Timer(_GRACE_SECONDS, force_end, [code])
    last.daemon = True
    last.start()
    _stopped_with.append(code)
    verb = "terminated" if code == TERMINATED else "interrupted"
    _print(f"{verb}; run the same command again to continue")
    sys.exit(code)


def _exit_at_once() -> None:
    """Exit without the interpreter's shutdown, which aborts if a thread still writes."""
    if _stopped_with:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_stopped_with[0])


def _print(message: str) -> None:
    line = " ".join(without_secrets(message).split())
    # A message may quote a catalogue, and a terminal obeys characters that are not printable.
    click.echo(f"ardcube: {''.join(letter for letter in line if letter.isprintable())}", err=True)
