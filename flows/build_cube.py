"""The whole job: plan the cube, make its store ready, build what is missing, say what became of it."""

import time

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.config import CubeConfig, RunConfig
from ardcube.lease.acquire import holding
from ardcube.lease.lease import Lease
from ardcube.ledger.last_plan import write_planned
from ardcube.ledger.ledger import finished
from ardcube.pixels.masks import cloud_mask
from ardcube.prepare.check import Request, check_request
from ardcube.prepare.initialize import initialize, remove_cube
from ardcube.prepare.planning import Found, make_plan, search_scenes
from ardcube.report.summary import BuildSummary, summarize
from flows.build_pending import build_pending
from flows.progress import current_progress
from flows.runners import check_workers_can_report
from hooks.credentials import take_credentials
from hooks.logs import forward_logs
from hooks.names import build_run_name
from hooks.states import on_cancellation, on_crashed, on_failure


@flow(
    name="build-cube",
    flow_run_name=build_run_name,
    on_failure=[on_failure],
    on_crashed=[on_crashed],
    on_cancellation=[on_cancellation],
)
def build_cube(cube: CubeConfig, run: RunConfig) -> BuildSummary:
    """Build a cube, or what is missing of it.

    1. Check the request against the world; nothing is written before.
    2. Search the catalogue, once per period.
    3. Take the cube's lease, held until the end: one run at a time.
    4. With `overwrite`, remove the cube that stands there.
    5. Join scenes and tiles to jobs; create or extend the store.
    6. Build the chunks that the ledger does not know as done, in batches, on the backend's workers.
    7. Build once more those whose worker was lost.
    8. Gather the records, tell what came of it, and fail if a chunk is missing.

    Parameters
    ----------
    cube : CubeConfig
        What is built.
    run : RunConfig
        Where and how.

    Raises
    ------
    InputError
        If the request cannot be met, or another run holds the cube; nothing was written.
    LeaseLostError
        If another run has taken the cube from this one.
    ChunksFailedError
        If chunks are missing although everything else was built.
    """
    start = time.perf_counter()
    forward_logs()
    take_credentials(run)
    check_workers_can_report(run)
    mask = cloud_mask(cube.cloud_mask, cube.cloud_mask_options)
    request = check_request(cube, run, mask)
    found = search_scenes(request, current_progress().searched)
    if run.dry_run:
        return _build(request, found, start, None)
    with holding(
        request.ledger.place,
        run=str(flow_run.name),
        run_id=str(flow_run.id),
        break_lease=run.break_lease,
        tell=get_run_logger().warning,
    ) as lease:
        if not run.overwrite and request.ledger.read_cube() != request.stored:
            request = check_request(cube, run, mask)  # while this one searched, another run made or changed the cube
        return _build(request, found, start, lease)


def _build(request: Request, found: Found, start: float, lease: Lease | None) -> BuildSummary:
    """Plan and build; without a lease nothing is written."""
    run, ledger = request.run, request.ledger
    if run.overwrite and lease is not None:
        lease.check()
        remove_cube(request)
    plan = make_plan(request, found, build=lease is not None)
    records = {} if run.overwrite else ledger.records(brief=True)
    pending = plan.jobs.without(finished(records, run.skip_bad_scenes))
    get_run_logger().info(
        "%d chunks, %d done before, %d to build at %s",
        len(plan.jobs), len(plan.jobs) - len(pending), len(pending), request.place.uri,
    )  # fmt: skip
    if lease is None:
        return summarize(request.place.uri, len(plan.jobs), [], pending, {}, time.perf_counter() - start)
    lease.check()
    initialize(request, plan)
    write_planned(ledger, plan)
    return build_pending(plan, run, request.place, ledger, pending, len(plan.jobs), records, lease, start)
