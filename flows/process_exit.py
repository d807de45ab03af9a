"""End the `ardcube` command with one line, an exit code, and no wait for threads."""

import atexit
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import click

from ardcube.errors import ArdcubeError, InputError
from ardcube.redaction import without_secrets

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
_GRACE_SECONDS = 3.0
"""Seconds that Prefect has to send its last messages after the lease was released."""
_stopped_with: list[int] = []
"""Exit code of a command that a signal stopped."""


class _TerminatedError(BaseException):
    """SIGTERM arrived: the command should release what it holds and end soon."""


def run_command(command: Callable[[], object]) -> NoReturn:
    """Run a click command and exit; bad input is one line and exit code 2."""
    debug = "--debug" in sys.argv[1:]
    signal.signal(signal.SIGTERM, _on_sigterm)
    atexit.register(_exit_at_once)  # before libraries register theirs, because it must be called after them
    try:
        sys.exit(command() or 0)  # type: ignore[arg-type]
    except _TerminatedError:
        _stop("terminated; run the same command again to continue", TERMINATED)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _stop("interrupted; run the same command again to continue", INTERRUPTED)
    except click.ClickException as error:
        _exit(error.format_message(), error.exit_code)
    except ArdcubeError as error:
        if debug:
            click.echo(without_secrets(traceback.format_exc()), err=True)
        _exit(str(error), BAD_INPUT if isinstance(error, InputError) else FAILED)
    except Exception as error:  # noqa: BLE001  (the last resort: a person reads one line, whatever it is)
        if debug:
            click.echo(without_secrets(traceback.format_exc()), err=True)
        _exit(f"{type(error).__name__}: {error} (--debug shows where)", FAILED)


def _on_sigterm(*_: object) -> NoReturn:
    raise _TerminatedError


def _stop(message: str, code: int) -> NoReturn:
    """Exit within seconds, although threads may still wait for a server."""
    logging.raiseExceptions = False  # threads that still run find the loggers closed
    last = threading.Timer(_GRACE_SECONDS, os._exit, [code])
    last.daemon = True
    last.start()
    _stopped_with.append(code)
    _exit(message, code)


def _exit_at_once() -> None:
    """Exit without the interpreter's shutdown, which aborts if a thread still writes."""
    if _stopped_with:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_stopped_with[0])


def _exit(message: str, code: int) -> NoReturn:
    line = " ".join(without_secrets(message).split())
    # A message may quote a catalogue, and a terminal obeys characters that are not printable.
    click.echo(f"ardcube: {''.join(letter for letter in line if letter.isprintable())}", err=True)
    sys.exit(code)
