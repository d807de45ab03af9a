"""Sending chunks to workers: batches as task runs, a bounded number in flight, lost ones a second time."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import distributed
from prefect.logging import get_run_logger
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from ardcube.config import RunConfig
from ardcube.ledger import ChunkRecord, Ledger
from ardcube.plan import ChunkJob, ChunkKey, CubePlan, batches
from flows.progress import current_progress
from flows.runners import make_runner, workers_know_the_server
from tasks.chunks import build_chunks

IN_FLIGHT = 128
"""Batches submitted at once: enough for any cluster, few enough that a scheduler stays small."""

Records = Mapping[ChunkKey, ChunkRecord]


def build_all(plan: CubePlan, run: RunConfig, jobs: list[ChunkJob], ledger: Ledger, before: Records) -> None:
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
