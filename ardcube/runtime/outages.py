"""Wait for a service that does not answer: bounded, reported once when it begins and once when it is over.

A service is a store, a catalogue, or the workers of a cluster. All threads of a process share its state, so
that an outage is one line, however many threads wait. Lines go to this module's logger: hooks forward them to Prefect,
and the command line prints them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Self, TypeVar

from ardcube.errors import OutageError

SILENCE_SECONDS = 15.0
"""Seconds without an answer after which an outage is reported."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
"""Seconds between two attempts: doubled from the first to the longest."""

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_reported: dict[str, float] = {}
"""Beginning of each outage that was reported and is not over, by service, in seconds of `time.monotonic`."""
_answered: dict[str, float] = {}
"""Time of the last answer, by service."""


class Outage:
    """The wait for one answer of a service, as a context.

    Parameters
    ----------
    service : str
        Address of the service, for messages.
    patience : float
        Seconds to wait for an answer at most.
    problem : str
        Problem of a service that does not answer.
    extra : float
        Seconds that a call may take longer than `SILENCE_SECONDS` before it is reported, because it transfers much.
    """

    def __init__(self, service: str, patience: float, problem: str = "does not answer", extra: float = 0.0) -> None:
        self._service = service
        self._patience = patience
        self._problem = problem
        self._begun = time.monotonic()
        self._reason = ""
        self._pause = _FIRST_PAUSE
        self._silence = SILENCE_SECONDS + extra
        self._timer = self._new_timer()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    @property
    def seconds(self) -> float:
        """Seconds since the outage began."""
        return time.monotonic() - _reported.get(self._service, self._begun)

    def failed(self, reason: str, error: Exception | None = None) -> None:
        """Wait before another attempt.

        Parameters
        ----------
        reason : str
            Text of the error, or empty.
        error : Exception, optional
            The error, which becomes the cause of `OutageError`.

        Raises
        ------
        OutageError
            If the outage has lasted longer than the patience.
        """
        self._reason = f" ({reason})" if reason else ""
        if time.monotonic() - self._begun >= SILENCE_SECONDS:
            self._report()
        left = self._patience - self.seconds
        if left <= 0:
            raise OutageError(
                f"{self._service}: {self._problem} for {in_words(self.seconds)}{self._reason}; run again "
                "later: finished chunks are kept"
            ) from error
        time.sleep(min(self._pause, left))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def answered(self, *, more: bool = False) -> None:
        """Report the end of the outage, if it was reported; with `more`, wait for another answer."""
        with _lock:
            _answered[self._service] = time.monotonic()
            begun = _reported.pop(self._service, None)
        if begun is not None:
            logger.warning("%s: available again after %s", self._service, in_words(time.monotonic() - begun))

        if more:
            self._begun = time.monotonic()
            self._timer.cancel()
            self._timer = self._new_timer()
            self._timer.start()

    def _new_timer(self) -> threading.Timer:
        # In a copy of this context, because Prefect finds the run of a line there.
        timer = threading.Timer(self._silence, copy_context().run, [self._report])
        timer.daemon = True
        return timer

    def _report(self) -> None:
        """Report the outage, unless a thread has done that or got an answer meanwhile."""
        with _lock:
            if self._service in _reported or _answered.get(self._service, self._begun) > self._begun:
                return
            _reported[self._service] = self._begun
        logger.warning(
            "%s: %s%s; waiting up to %s", self._service, self._problem, self._reason, in_words(self._patience)
        )


def outlast(
    service: str,
    patience: float,
    operation: Callable[[], _T],
    reason: Callable[[Exception], str | None],
    extra: float = 0.0,
) -> _T:
    """Repeat an operation while its service does not answer, and return its result.

    Parameters
    ----------
    service : str
        Address of the service.
    patience : float
        Seconds to wait at most.
    operation : callable
        An operation that may be repeated.
    reason : callable
        Returns the text of an error that waiting may avoid, and None for any other error, which is raised.
    extra : float
        Seconds that a call may take longer before it is reported, because it transfers much.

    Raises
    ------
    OutageError
        If the service does not answer in time.
    """
    with Outage(service, patience, extra=extra) as outage:
        while True:
            try:
                result = operation()
            except Exception as error:
                text = reason(error)
                if text is None:
                    raise
                outage.failed(text, error)
            else:
                outage.answered()
                return result


def in_words(seconds: float) -> str:
    """Return a duration as text, such as `40 s` or `15 minutes`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
