"""Build the failed chunks of a cube, from the planned scenes."""

import time

from prefect import flow
from prefect.logging import get_run_logger

from ardcube.config import RunConfig
from ardcube.prepare.retry import check_retry, plan_retry
from ardcube.report.summary import BuildSummary, RunScope, summarize
from flows.build_cube import build_missing, hold_lease, prepare_process
from flows.checked import checked_retry
from flows.run_context import RunContext
from flows.run_summary import completed
from hooks.names import retry_run_name
from hooks.states import on_cancellation, on_crashed, on_failure


@flow(
    name="retry-cube",
    flow_run_name=retry_run_name,
    on_failure=[on_failure],
    on_crashed=[on_crashed],
    on_cancellation=[on_cancellation],
)
def retry_cube(run: RunConfig, missing: bool = False) -> BuildSummary:
    """Build the failed chunks of the cube at `run.fsspec_uri`.

    1. Read the cube and its last plan from the ledger; no catalogue is searched.
    2. Take the lease of the cube and hold it to the end.
    3. Build the chunks that failed, and with `missing` those that were never built, as `build_cube` does.
    4. Merge the records, summarize, and fail if a chunk is still missing.

    Parameters
    ----------
    run : RunConfig
        Where the cube is, and how it is built.
    missing : bool
        Also build chunks that no run has built so far.

    Raises
    ------
    InputError
        If there is no cube, or another run holds it. Nothing was written.
    LeaseLostError
        If another run has taken the cube from this one.
    ChunksFailedError
        If chunks are missing although all others were built.
    """
    started = time.perf_counter()
    prepare_process(run)
    with hold_lease(checked_retry(run).ledger.place, run) as lease:
        retry = check_retry(run).for_writing()  # another run may have changed the cube before this one held the lease
        pending = plan_retry(retry, missing=missing)
        jobs = () if pending is None else pending.jobs
        get_run_logger().info("%d of %d chunks to build at %s", len(jobs), retry.chunks, retry.place.uri)
        if pending is None or run.dry_run:
            scope = RunScope(retry.place.uri, retry.chunks, retry.not_done(pending, missing=missing))
            return summarize(scope, {}, time.perf_counter() - started)
        return completed(build_missing(RunContext(run, pending, lease, started).fenced()))
