"""Pass a checked request from the command line to the flow in the same process.

The command line checks before it starts Prefect, because that takes longer than the check and a mistake should be
reported within a second. A flow that a deployment starts checks by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ardcube.config import CubeConfig, RunConfig
from ardcube.prepare.check import check_request
from ardcube.prepare.request import Request
from ardcube.prepare.retry import Retry, check_retry

_checked: ContextVar[tuple[Request | Retry, ...]] = ContextVar("checked requests", default=())


@contextmanager
def already_checked(*requests: Request | Retry) -> Iterator[None]:
    """Let flows in this block take checked requests instead of checking them again."""
    token = _checked.set(requests)
    try:
        yield
    finally:
        _checked.reset(token)


def checked_request(cube: CubeConfig, run: RunConfig) -> Request:
    """Return the checked request of a build.

    Raises
    ------
    InputError
        If the request cannot be met. Nothing was written.
    """
    for found in _checked.get():
        if isinstance(found, Request) and (found.cube, found.run) == (cube, run):
            return found
    return check_request(cube, run)


def checked_retry(run: RunConfig) -> Retry:
    """Return the checked request of a retry.

    Raises
    ------
    InputError
        If there is no cube to retry. Nothing was written.
    """
    for found in _checked.get():
        if isinstance(found, Retry) and found.run == run:
            return found
    return check_retry(run)
