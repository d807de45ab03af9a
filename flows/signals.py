"""Stop the `ardcube` command within seconds of a signal, at any moment of the process.

The first SIGINT or SIGTERM raises an exception in the main thread, which releases the lease and ends the run. Three
cases need more: the main thread waits in a system call of a library, which no exception interrupts; a library ignores
the exception; the interpreter shuts down. So a thread ends the process after `LAST_SECONDS` in any case. A second
SIGINT ends it at once.

Only the standard library is imported, because the command calls `install` before it imports anything else.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143
LAST_SECONDS = 7.0
"""Seconds after the first signal until the process ends without waiting for the main thread."""
_RELEASE_SECONDS = 2.0
"""Seconds for what the process holds to be released if the main thread does not do it."""
_SAME_SECONDS = 0.5
"""Seconds in which a further SIGINT is the same key press: a launcher repeats what the terminal sent to the group."""
_CODES: dict[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
_CALLS: list[Callable[[], object]] = []
"""Release what the process holds."""
_first: list[int] = []
"""Exit code of the first signal."""
_arrived = threading.Event()
"""Set when the first signal has arrived."""
_stopped = threading.Event()
"""Set when all that remains is the shutdown of the process."""


class TerminatedError(BaseException):
    """SIGTERM arrived: the command should release what it holds and end soon."""


def install() -> None:
    """Handle SIGINT and SIGTERM; a signal that is ignored when the process starts remains ignored."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    threading.Thread(target=_watch, args=[ends[0]], name="signals", daemon=True).start()
    signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
    for number, handler in ((signal.SIGINT, _on_sigint), (signal.SIGTERM, _on_sigterm)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def before_forced_end(release: Callable[[], object]) -> None:
    """Call a function if the process must end although its main thread does not react."""
    _CALLS.append(release)


@contextmanager
def released_at_forced_end(release: Callable[[], object]) -> Iterator[None]:
    """Call a function if the process must end during the block although its main thread does not react."""
    before_forced_end(release)
    try:
        yield
    finally:
        _CALLS.remove(release)


def first_signal(seconds: float) -> int | None:
    """Return the exit code of the first signal, or None; wait for the thread that notes it."""
    return _first[0] if _arrived.wait(seconds) else None


def nothing_left_to_stop() -> None:
    """End the process at once on a signal from now on, because all that remains is its shutdown."""
    _stopped.set()


def _on_sigint(*_: object) -> NoReturn:
    _end_if_nothing_is_left(INTERRUPTED)
    raise KeyboardInterrupt


def _on_sigterm(*_: object) -> NoReturn:
    _end_if_nothing_is_left(TERMINATED)
    raise TerminatedError


def _end_if_nothing_is_left(code: int) -> None:
    if _stopped.is_set():
        force_end(code)


def force_end(code: int) -> NoReturn:
    """Release what the process holds, within two seconds, and end it without waiting for any thread."""
    releasing = [threading.Thread(target=call, daemon=True) for call in tuple(_CALLS)]
    for thread in releasing:
        thread.start()
    end = time.monotonic() + _RELEASE_SECONDS
    for thread in releasing:
        thread.join(max(0.0, end - time.monotonic()))
    os._exit(code)  # without a flush: the reader of a full pipe may have stopped


def _watch(pipe: int) -> None:
    """Wait for the first signal, then end the process at the deadline or at the second SIGINT."""
    while (code := _CODES.get(os.read(pipe, 1)[0])) is None:
        pass
    first = time.monotonic()
    _first.append(code)
    _arrived.set()
    while (left := first + LAST_SECONDS - time.monotonic()) > 0:
        if not select.select([pipe], [], [], left)[0]:
            break
        if os.read(pipe, 1)[0] == signal.SIGINT and time.monotonic() - first > _SAME_SECONDS:
            break
    force_end(code)
