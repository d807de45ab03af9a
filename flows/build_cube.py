"""The whole job: plan the cube, make its store ready, build what is missing, say what became of it."""

import time

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from ardcube.config import CubeConfig, RunConfig
from ardcube.prepare import check_request, initialize, make_plan, remove_cube, search_scenes
from ardcube.summary import BuildSummary, ChunksFailedError, summarize
from flows.dispatch import build_all
from flows.progress import current_progress
from flows.runners import check_workers_can_report
from hooks.cloud_masks import cloud_mask


@flow(name="build-cube", flow_run_name="{cube.varname} {cube.start_date:%Y-%m}..{cube.end_date:%Y-%m}")
def build_cube(cube: CubeConfig, run: RunConfig) -> BuildSummary:
    """Build a cube, or what is missing of it.

    1. Check the request against the world; nothing is written before.
    2. Search the catalogue, once per period.
    3. With `overwrite`, remove the cube that stands there.
    4. Join scenes and tiles to jobs; create or extend the store.
    5. Build the chunks that the ledger does not know as done, in batches, on the backend's workers.
    6. Build once more those whose worker was lost.
    7. Gather the records, and fail if a chunk is missing.

    Parameters
    ----------
    cube : CubeConfig
        What is built.
    run : RunConfig
        Where and how.

    Raises
    ------
    InputError
        If the request cannot be met; nothing was written.
    ChunksFailedError
        If chunks are missing although everything else was built.
    """
    start = time.perf_counter()
    logger = get_run_logger()
    progress = current_progress()
    check_workers_can_report(run)
    request = check_request(cube, run, cloud_mask(cube.cloud_mask, cube.cloud_mask_options))
    found = search_scenes(request, progress.searched)
    if run.overwrite and not run.dry_run:
        remove_cube(request)
    plan = make_plan(request, found, build=not run.dry_run)
    records = {} if run.overwrite else request.ledger.records()
    pending = [job for job in plan.jobs if job.key not in records or not records[job.key].is_done(job)]
    selected = pending if run.limit is None else pending[: run.limit]
    logger.info(
        "%d chunks, %d done before, %d to build now at %s",
        len(plan.jobs), len(plan.jobs) - len(pending), len(selected), request.place.uri,
    )  # fmt: skip
    if run.dry_run:
        return summarize(request.place.uri, len(plan.jobs), [], pending, {}, time.perf_counter() - start)
    initialize(request, plan)
    progress.started(len(selected), len(plan.jobs) - len(pending))
    if selected:
        build_all(plan, run, selected, request.ledger, records)
    progress.finished()
    records = request.ledger.compact()
    summary = summarize(request.place.uri, len(plan.jobs), selected, pending, records, time.perf_counter() - start)
    logger.info("%d written, %d empty, %d failed", summary.written, summary.empty, summary.failed)
    if summary.failures:
        _report_failures(summary)
        raise ChunksFailedError(summary)
    return summary


def _report_failures(summary: BuildSummary) -> None:
    logger = get_run_logger()
    for failure in summary.failures:
        logger.error("%s failed after %d attempts: %s", failure.chunk, failure.attempts, failure.error)
    create_table_artifact(
        key="failed-chunks",
        table=[
            {"chunk": failure.chunk, "attempts": failure.attempts, "error": failure.error}
            for failure in summary.failures
        ],
        description="Chunks that are missing from the cube. A further run tries just these.",
    )
