"""The whole job: plan the cube, make its store ready, build what is missing, say what became of it."""

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import distributed
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from ardcube.config import CubeConfig, RunConfig
from ardcube.ledger import ChunkRecord, Ledger
from ardcube.plan import ChunkJob, ChunkKey, CubePlan, batches
from ardcube.prepare import check_request, initialize, make_plan, remove_cube, search_scenes
from ardcube.summary import BuildSummary, ChunksFailedError, summarize
from flows.progress import current_progress
from flows.runners import check_workers_can_report, make_runner, workers_know_the_server
from hooks.cloud_masks import cloud_mask
from tasks.chunks import build_chunks

IN_FLIGHT = 128
"""Batches submitted at once: enough for any cluster, few enough that a scheduler stays small."""

Records = Mapping[ChunkKey, ChunkRecord]


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
        _build(plan, run, selected, request.ledger, records)
    progress.finished()
    records = request.ledger.compact()
    summary = summarize(request.place.uri, len(plan.jobs), selected, pending, records, time.perf_counter() - start)
    logger.info("%d written, %d empty, %d failed", summary.written, summary.empty, summary.failed)
    if summary.failures:
        _report_failures(summary)
        raise ChunksFailedError(summary)
    return summary


def _build(plan: CubePlan, run: RunConfig, jobs: list[ChunkJob], ledger: Ledger, before: Records) -> None:
    """Build jobs in batches; those that left no record of this run, one by one, a second time."""
    with workers_know_the_server(run), make_runner(run) as runner:
        lost = _build_batches(plan, run, batches(jobs, len(plan.periods), run.batch_size), ledger, before, runner)
        if lost:
            get_run_logger().warning("%d chunks lost their worker; building them once more", len(lost))
            for job in _build_batches(plan, run, ((job,) for job in lost), ledger, before, runner):
                current_progress().ended(job, None)


def _build_batches(
    plan: CubePlan,
    run: RunConfig,
    work: Iterable[tuple[ChunkJob, ...]],
    ledger: Ledger,
    before: Records,
    runner: DaskTaskRunner,
) -> list[ChunkJob]:
    """Keep a bounded number of batches in flight; return the jobs that were lost with their worker."""
    task = build_chunks.with_options(
        retries=run.retries,
        retry_delay_seconds=[min(600.0, run.retry_delay_seconds * 2**k) for k in range(run.retries)] or 0.0,
    )
    lost: list[ChunkJob] = []
    waiting = iter(work)
    flying: dict[object, tuple[tuple[ChunkJob, ...], PrefectDaskFuture[list[ChunkRecord]]]] = {}
    arrivals: Any = distributed.as_completed(loop=runner.client.loop)

    def submit(count: int) -> None:
        for batch in islice(waiting, count):
            future = runner.submit(task, {"spec": plan.spec, "jobs": batch, "label": _label(batch)})
            flying[future.wrapped_future.key] = batch, future
            arrivals.add(future.wrapped_future)

    submit(IN_FLIGHT)
    while flying:
        arrived = next(arrivals)
        batch, future = flying.pop(arrived.key)
        lost += _take(batch, future, ledger, before)
        submit(1)
    return lost


def _take(
    batch: tuple[ChunkJob, ...],
    future: PrefectDaskFuture[list[ChunkRecord]],
    ledger: Ledger,
    before: Records,
) -> Iterator[ChunkJob]:
    """Report the chunks of a batch that came back; yield those that left no record since the run began."""
    progress = current_progress()
    try:
        records = {record.key: record for record in future.result()}
    except Exception:  # noqa: BLE001  (the task failed, or its worker died: the ledger knows which chunks were reached)
        records = {job.key: record for job in batch if (record := ledger.read(job.key)) is not None}
    for job in batch:
        record = records.get(job.key)
        if record is None or record == before.get(job.key):
            yield job
        else:
            progress.ended(job, record)


def _label(batch: tuple[ChunkJob, ...]) -> str:
    first, last = str(batch[0].key), str(batch[-1].key)
    return first if len(batch) == 1 else f"{first}..{last}"


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
