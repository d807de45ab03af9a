"""The whole job: plan the cube, make its store ready, build what is missing, say what became of it."""

import time

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.config import CubeConfig, RunConfig
from ardcube.lease.acquire import holding
from ardcube.prepare.check import check_request, with_stored_cube
from ardcube.prepare.pending import PendingBuild, initialize_store, plan_build
from ardcube.prepare.planning import search_scenes
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
    request = check_request(cube, run)
    found = search_scenes(request, current_progress().searched)
    if run.dry_run:
        pending = plan_build(request, found, build=False)
        _log_plan(pending)
        seconds = time.perf_counter() - start
        return summarize(pending.place.uri, pending.chunks, [], pending.jobs, {}, seconds)
    with holding(
        request.ledger.place,
        run=str(flow_run.name),
        run_id=str(flow_run.id),
        break_lease=run.break_lease,
        tell=get_run_logger().warning,
    ) as lease:
        request = with_stored_cube(request)
        lease.check()
        pending = plan_build(request, found)
        _log_plan(pending)
        lease.check()
        initialize_store(request, pending)
        return build_pending(pending, run, lease, start)


def _log_plan(pending: PendingBuild) -> None:
    get_run_logger().info(
        "%d chunks, %d done before, %d to build at %s",
        pending.chunks, pending.chunks - len(pending.jobs), len(pending.jobs), pending.place.uri,
    )  # fmt: skip
