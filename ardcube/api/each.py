"""Build several cubes one after another; a cube that fails does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ardcube.errors import ArdcubeError
from ardcube.prepare.each import name_of
from ardcube.prepare.request import Request
from ardcube.report.summary import BuildSummary, ChunksFailedError, CubeOutcome, add_up


def build_each(uri: str, requests: Sequence[Request], build: Callable[[Request], BuildSummary]) -> BuildSummary:
    """Build the cubes of checked requests.

    Parameters
    ----------
    uri : str
        Folder of the cubes.
    requests : sequence of Request
        Result of `requests_of_each`.
    build : callable
        Builds one cube.

    Returns
    -------
    BuildSummary
        Sums of all cubes; `cubes` has the summary of each.

    Raises
    ------
    ChunksFailedError
        If a cube was not built, or chunks of it are missing, after all others were built. It holds the summary.
    """
    start = time.perf_counter()
    outcomes = [_outcome(request, build) for request in requests]
    total = add_up(uri, outcomes, time.perf_counter() - start)
    if any(outcome.error for outcome in outcomes):
        raise ChunksFailedError(total)
    return total


def _outcome(request: Request, build: Callable[[Request], BuildSummary]) -> CubeOutcome:
    name = name_of(request)
    try:
        return CubeOutcome(name, build(request))
    except ChunksFailedError as error:
        return CubeOutcome(name, error.summary, str(error))
    except ArdcubeError as error:
        return CubeOutcome(name, None, str(error))
