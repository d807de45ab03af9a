"""Let a scheduled run try again later while its catalogue or its store is unreachable."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from ardcube.errors import TransientError, UnreachableError
from ardcube.report.summary import BuildSummary

_FIRST_PAUSE = 60.0
_LONGEST_PAUSE = 1800.0
"""Seconds between two attempts: doubled from the first to the longest."""


def try_again(build: Callable[[], BuildSummary], hours: float) -> BuildSummary:
    """Call a build, and call it again while a service that it needs is unreachable.

    The run stays *Running*: it reports that it is alive, can be cancelled, and keeps its place, so that no other run of
    the deployment starts. It holds no lease while it waits. Other errors are raised at once.

    Parameters
    ----------
    build : callable
        The build; finished chunks are kept between two attempts.
    hours : float
        Hours after which the error is raised.
    """
    end, pause = time.monotonic() + 3600 * hours, _FIRST_PAUSE
    while True:
        try:
            return build()
        except (UnreachableError, TransientError) as error:
            if time.monotonic() + pause > end:
                raise
            at = datetime.now(UTC) + timedelta(seconds=pause)
            get_run_logger().warning("%s; this run tries again at %s", error, f"{at:%H:%M:%S %Z}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
