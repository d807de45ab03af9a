"""Build a cube: plan, initialize the store, map the chunk task, summarize."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from prefect import flow
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import RunStopsError
from ardcube.lease.acquire import holding
from ardcube.lease.lease import Lease, release
from ardcube.prepare.make_plan import search_scenes
from ardcube.prepare.pending import PendingBuild, initialize_store, plan_build, warnings_of
from ardcube.prepare.request import Request
from ardcube.prepare.run_cost import expected_cost
from ardcube.prepare.same_cube import with_stored_cube
from ardcube.report.summary import BuildSummary, ChunksFailedError, RunScope, summarize_plan
from ardcube.storage.place import Place, cube_name
from flows.ask_workers import remove_probes
from flows.build_each import build_cubes
from flows.checked import checked_request
from flows.levels import LevelProgress, level_contexts
from flows.preflight import check_workers
from flows.progress import current_progress, reporting
from flows.progress_artifact import ProgressArtifact
from flows.run_context import RunContext
from flows.run_summary import completed, summarize_run
from flows.runners import StartRunner, start_isolated_runner, started_once
from flows.signals import released_at_forced_end
from flows.summary_artifacts import post_stop
from hooks.credentials import take_credentials
from hooks.logs import forward_logs
from hooks.names import build_run_name
from hooks.states import on_cancellation, on_crashed, on_failure
from hooks.suspension import suspension_reported


@flow(
    name="build-cube",
    flow_run_name=build_run_name,
    on_failure=[on_failure],
    on_crashed=[on_crashed],
    on_cancellation=[on_cancellation],
)
def build_cube(cube: CubeConfig, run: RunConfig) -> BuildSummary:
    """Build the missing chunks of a cube.

    1. Check the request against files, the store and the catalogue; write nothing.
    2. Search the catalogue once per period.
    3. Take the lease of the cube and hold it to the end, because one run at a time may write it.
    4. Join scenes and tiles to chunks; with `overwrite`, remove the existing cube first.
    5. Initialize the store: create, extend or check it.
    6. Map the chunk task over batches of the missing chunks on the run's Dask task runner.
    7. Build again the chunks whose worker was lost.
    8. Map the task over the levels of a pyramid, those above a chunk that was built.
    9. Merge the records, summarize, and fail if a chunk is missing.

    With `run.each` the requests of all features are checked first. Steps 2 to 8 then follow for one cube after another.

    Parameters
    ----------
    cube : CubeConfig
        All that changes a pixel of the cube.
    run : RunConfig
        Where and how the cube is built.

    Raises
    ------
    InputError
        If the request cannot be met, or another run holds the cube. Nothing was written.
    RunStopsError
        If no further chunk can be built, for example because another run has taken the cube from this one.
    ChunksFailedError
        If chunks are missing although all others were built.
    """
    started = time.perf_counter()
    prepare_process(run, [one.stac_url for one in cube.collections])
    if run.each is not None:
        return completed(build_cubes(cube, run, lambda one: _build(one, time.perf_counter())))
    return completed(_build(checked_request(cube, run), started))


def _build(request: Request, started: float) -> BuildSummary:
    """Build the cube of a checked request."""
    run = request.run
    scenes = search_scenes(request, current_progress().searched)
    for line in warnings_of(request, scenes):
        current_progress().warned(line)
    if run.dry_run:
        pending = plan_build(request, scenes, build=False)
        _log_plan(pending)
        scope = RunScope(pending.place.uri, pending.chunks, len(pending.jobs))
        return summarize_plan(scope, pending.plan, time.perf_counter() - started)
    with hold_lease(request.ledger.place, run) as lease:
        request = with_stored_cube(request)  # another run may have created or extended the cube during the search
        lease.check()
        request = request.for_writing()
        pending = plan_build(request, scenes)
        _log_plan(pending)
        lease.check()
        initialize_store(request, pending)
        return build_missing(RunContext(run, pending, lease, started).fenced())


def build_missing(context: RunContext) -> BuildSummary:
    """Build the missing chunks of an initialized store, and summarize.

    Raises
    ------
    RunStopsError
        If no further chunk can be built.
    ChunksFailedError
        If chunks are missing although all others were built.
    """
    pending = context.pending
    context.lease.check()
    expected = expected_cost(pending, context.run)
    progress = ProgressArtifact(
        current_progress(),
        UUID(str(flow_run.id)),
        cube_name(pending.place.path),
        context.attempts_before,
        context.lease.check,
    )
    with reporting(progress):
        progress.started(len(context.selected), pending.chunks - len(pending.jobs))
        try:
            with started_once(context.run, pending.plan.spec.asset_access) as start:
                if context.selected:
                    _map_chunks(context, start)
                levels = [level for level in level_contexts(context) if _map_level(level, start)]
        except Pause:
            progress.suspended()
            raise
        except RunStopsError as error:
            post_stop(context, progress, error)
            raise
        progress.finished()
    summary = summarize_run(context, progress.tally, levels, expected)
    if summary.failures:
        raise ChunksFailedError(summary)
    return summary


def _map_level(context: RunContext, start: StartRunner) -> bool:
    """Map the chunk task over the missing chunks of a level; return whether there were any."""
    if context.selected:
        with reporting(LevelProgress(context.lease.check)):
            _map_chunks(context, start)
    return bool(context.selected)


def _map_chunks(context: RunContext, start: StartRunner) -> None:
    """Map the chunk task over batches of the tile grid, or of a level of the pyramid.

    The first round has all chunks. Further rounds have the chunks whose worker was lost.
    """
    from flows.batch_results import BatchResults  # these import distributed, which takes seconds
    from flows.late_workers import LateWorkers
    from flows.map_chunks import chunk_task, map_batches
    from flows.recovery import Recovery

    task, results = chunk_task(context.run), BatchResults(context)
    recovery, late = Recovery(context, results), LateWorkers(context)
    if recovery.jobs:
        runner = start()
        with recovery.in_flight_cleared():
            for batches in recovery.rounds():
                for batch, future in map_batches(runner, task, batches):
                    batches.measured(results.collect(batch, future))
                    if results.failed_outside:
                        results.failed_outside = False
                        late.retire_wrong(runner.client)
    if recovery.suspects:
        with start_isolated_runner() as runner:
            for batches in recovery.isolated_rounds():
                for batch, future in map_batches(runner, task, batches):
                    results.collect(batch, future)
    recovery.finish()
    results.flush()


def prepare_process(run: RunConfig, stac_urls: Sequence[str] = ()) -> None:
    """Forward logs, load credentials, and check the workers.

    Raises
    ------
    InputError
        If the credentials are missing, or the workers cannot build a chunk.
    """
    forward_logs()
    take_credentials(run)
    check_workers(run, stac_urls)


@contextmanager
def hold_lease(ledger: Place, run: RunConfig) -> Iterator[Lease]:
    """Hold the lease of a cube in the name of this flow run.

    Raises
    ------
    LeaseHeldError
        If another run holds it.
    """
    log, progress = get_run_logger(), current_progress()

    def warn(line: str) -> None:
        log.warning(line)
        progress.warned(line)  # the command's console shows no log

    name, run_id = str(flow_run.name), str(flow_run.id)
    with (
        suspension_reported(),
        holding(ledger, run=name, run_id=run_id, break_lease=run.break_lease, warn=warn) as lease,
        released_at_forced_end(lambda: release(ledger.waiting(0), lease.claim.holder)),
    ):
        remove_probes(ledger)
        yield lease


def _log_plan(pending: PendingBuild) -> None:
    get_run_logger().info(
        "%d chunks, %d done before, %d to build at %s",
        pending.chunks, pending.chunks - len(pending.jobs), len(pending.jobs), pending.place.uri,
    )  # fmt: skip
