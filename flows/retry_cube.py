"""Building just what is missing of a cube: its failed chunks, from the scenes that they were planned with."""

import time

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.config import RunConfig
from ardcube.lease.acquire import holding
from ardcube.prepare.retry import check_retry, plan_retry
from ardcube.report.summary import BuildSummary, summarize
from flows.build_pending import build_pending
from flows.runners import check_workers_can_report
from hooks.credentials import take_credentials
from hooks.logs import forward_logs
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
    """Build what failed of the cube at `run.fsspec_uri`.

    1. Read what the cube is, and what was planned, beside its store; no catalogue is asked.
    2. Take the cube's lease, held until the end.
    3. Build the chunks that failed, and with `missing` those that were never built.
    4. Gather the records, and fail if a chunk is still missing.

    Parameters
    ----------
    run : RunConfig
        Where the cube is, and how it is built.
    missing : bool
        Also build chunks that no run has built so far.

    Raises
    ------
    InputError
        If there is no cube, or another run holds it; nothing was written.
    ChunksFailedError
        If chunks are missing although everything else was built.
    """
    start = time.perf_counter()
    forward_logs()
    take_credentials(run)
    check_workers_can_report(run)
    place, ledger = (checked := check_retry(run)).place, checked.ledger
    with holding(
        ledger.place,
        run=str(flow_run.name),
        run_id=str(flow_run.id),
        break_lease=run.break_lease,
        tell=get_run_logger().warning,
    ) as lease:
        retry = check_retry(run)  # another run may have changed the cube before this one held the lease
        pending = plan_retry(retry, missing=missing)
        jobs = () if pending is None else pending.jobs
        get_run_logger().info("%d of %d chunks to build at %s", len(jobs), retry.chunks, place.uri)
        if pending is None or run.dry_run:
            return summarize(place.uri, retry.chunks, [], jobs, {}, time.perf_counter() - start)
        return build_pending(pending, run, lease, start)
