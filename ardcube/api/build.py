"""Build a cube, or its missing chunks, in threads of this process."""

from __future__ import annotations

import time
from typing import Any

from ardcube.api.each import build_each
from ardcube.api.existing import Uri, run_config
from ardcube.api.in_threads import build_in_threads
from ardcube.api.plan import check_cube
from ardcube.api.python_names import python_names
from ardcube.config import CubeConfig
from ardcube.lease.acquire import holding
from ardcube.prepare.check import check_request
from ardcube.prepare.each import requests_of_each
from ardcube.prepare.make_plan import search_scenes
from ardcube.prepare.pending import initialize_store, plan_build
from ardcube.prepare.request import Request
from ardcube.prepare.retry import check_retry, plan_retry
from ardcube.prepare.same_cube import with_stored_cube
from ardcube.report.summary import BuildSummary, RunScope, summarize, summarize_plan


@python_names
def build(cube: CubeConfig, uri: Uri, *, threads: int | None = None, **options: Any) -> BuildSummary:
    """Build a cube, or the chunks of it that are missing, without a Prefect server.

    The steps are those of the flow `build-cube`: check, search, lease, plan, initialize, build, summarize. A build that
    was interrupted is continued by the same call.

    Parameters
    ----------
    cube : CubeConfig
        Area, grid, periods, bands and masks of the cube.
    uri : str or path
        Store to create or continue.
    threads : int, optional
        Chunks built at once. Default: the number of CPUs that the process may use.
    **options
        Further fields of `RunConfig`, such as `storage_options`, `limit`, `memory_limit`, `retries` or `overwrite`.
        With `each`, one cube is built for each feature of the geometry file, and the URI is the folder of the cubes.

    Returns
    -------
    BuildSummary
        Counts of chunks that were written, empty, done before; scenes, megapixels, seconds. With `each`, the sums of
        all cubes, and the summary of each in `cubes`.

    Raises
    ------
    InputError
        If the request cannot be met, or the URI holds something else; nothing was written.
    LeaseHeldError
        If another run writes the cube; nothing was written.
    ChunksFailedError
        If chunks failed although all others were built. Its `summary` names them; `retry` builds them again.
    RunStopsError
        If the store can no longer be written.
    """
    start = time.perf_counter()
    check_cube(cube)
    run = run_config(uri, {"threads": threads} | options)
    if run.each is not None:
        return build_each(run.fsspec_uri, requests_of_each(cube, run), lambda one: _build(one, time.perf_counter()))
    return _build(check_request(cube, run), start)


def _build(request: Request, start: float) -> BuildSummary:
    """Build the cube of a checked request."""
    run = request.run
    scenes = search_scenes(request)
    if run.dry_run:
        pending = plan_build(request, scenes, build=False)
        scope = RunScope(pending.place.uri, pending.chunks, len(pending.jobs))
        return summarize_plan(scope, pending.plan, time.perf_counter() - start)
    with holding(request.ledger.place, break_lease=run.break_lease) as lease:
        request = with_stored_cube(request)
        lease.check()
        request = request.for_writing()
        pending = plan_build(request, scenes)
        lease.check()
        initialize_store(request, pending)
        return build_in_threads(pending, run, lease, start)


@python_names
def retry(uri: Uri, *, missing: bool = False, threads: int | None = None, **options: Any) -> BuildSummary:
    """Build the failed chunks of a cube again, from the scenes that they were planned with; nothing is searched.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    missing : bool
        Build also chunks that no run has built.
    threads : int, optional
        Chunks built at once. Default: the number of CPUs that the process may use.
    **options
        Further fields of `RunConfig`, such as `storage_options` or `skip_bad_scenes`.

    Returns
    -------
    BuildSummary
        Counts of chunks, as of `build`.

    Raises
    ------
    InputError
        If there is no cube at the URI, or no plan was recorded; nothing was written.
    LeaseHeldError
        If another run writes the cube; nothing was written.
    ChunksFailedError
        If chunks failed again.
    """
    start = time.perf_counter()
    run = run_config(uri, {"threads": threads} | options)
    ledger = check_retry(run).ledger
    with holding(ledger.place, break_lease=run.break_lease) as lease:
        checked = check_retry(run)  # another run may have changed the cube before this one held the lease
        checked = checked.for_writing()
        pending = plan_retry(checked, missing=missing)
        if pending is None or run.dry_run:
            scope = RunScope(checked.place.uri, checked.chunks, checked.not_done(pending, missing=missing))
            return summarize(scope, {}, time.perf_counter() - start)
        return build_in_threads(pending, run, lease, start)
