"""Sending chunks to workers: batches as task runs, a bounded number in flight, lost ones once more."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import distributed
from prefect import Task
from prefect.logging import get_run_logger
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from ardcube.batch import Batch
from ardcube.batch_size import SINGLE_CHUNK_LIMIT, BatchSizes
from ardcube.config import RunConfig
from ardcube.ledger import ChunkRecord, Ledger
from ardcube.plan import ChunkJob, ChunkKey, CubePlan, CubeSpec
from flows.progress import current_progress
from flows.runners import coiled_arguments, make_runner, workers_know_the_server
from tasks.chunks import build_chunks

GATHERED = 5_000
"""Finished chunks whose records are put into one file while the run goes on."""

Records = Mapping[ChunkKey, ChunkRecord]
Builder = Task[[Batch], list[ChunkRecord]]


def build_all(plan: CubePlan, run: RunConfig, jobs: Sequence[ChunkJob], ledger: Ledger, before: Records) -> None:
    """Build jobs in batches; those that left no record of this run again, and at last one by one.

    Parameters
    ----------
    plan : CubePlan
        Of the cube.
    run : RunConfig
        Where and how.
    jobs : sequence of ChunkJob
        What is missing.
    ledger : Ledger
        Of the cube.
    before : mapping
        Records from before this run.
    """
    with workers_know_the_server(run), make_runner(run) as runner:
        dispatch = _Dispatch(plan.spec, run, ledger, before, runner)
        lost = dispatch.build(jobs, BatchSizes(len(jobs), run.batch_size))
        for size in (math.ceil(len(lost) / SINGLE_CHUNK_LIMIT), 1):
            if lost:
                get_run_logger().warning("%d chunks lost their worker; building them once more", len(lost))
                lost = dispatch.build(lost, BatchSizes(len(lost), size))
            if size == 1:
                break
        for job in lost:
            current_progress().ended(job, None)
        current_progress().returned()
        dispatch.close(len(jobs))


class _Dispatch:
    """Batches on their way to workers and back."""

    def __init__(self, spec: CubeSpec, run: RunConfig, ledger: Ledger, before: Records, runner: DaskTaskRunner) -> None:
        self.spec = spec
        self.run = run
        self.ledger = ledger
        self.before = before
        self.runner = runner
        self.task_runs = 0
        self.task: Builder = build_chunks.with_options(
            retries=run.retries,
            retry_delay_seconds=[min(600.0, run.retry_delay_seconds * 2**k) for k in range(run.retries)] or 0.0,
        )
        self._ended: list[ChunkRecord] = []

    def build(self, jobs: Sequence[ChunkJob], sizes: BatchSizes) -> list[ChunkJob]:
        """Keep a bounded number of batches in flight; return the jobs that were lost with their worker."""
        lost: list[ChunkJob] = []
        waiting = iter(jobs)
        flying: dict[object, tuple[Batch, PrefectDaskFuture[list[ChunkRecord]]]] = {}
        arrivals: Any = distributed.as_completed(loop=self.runner.client.loop)
        while sizes.left or flying:
            slots = self._slots()
            while sizes.left and len(flying) < sizes.in_flight(slots):
                batch = Batch(self.spec, tuple(islice(waiting, sizes.next(slots))))
                future = self.runner.submit(self.task, {"batch": batch})
                self.task_runs += 1
                flying[future.wrapped_future.key] = batch, future
                arrivals.add(future.wrapped_future)
            batch, future = flying.pop(next(arrivals).key)
            lost += self._take(batch, future, sizes)
        return lost

    def _slots(self) -> int:
        """Batches that workers build at the same time, or will when all of a cluster has started."""
        client: Any = self.runner.client
        there: int = sum(client.nthreads().values())
        if self.run.serverless_backend != "coiled":
            return max(1, there)
        cluster, adapt = coiled_arguments(self.run)
        # One batch for each worker that may come is enough to make them come.
        expected: int = adapt["maximum"] if adapt else cluster["n_workers"] * cluster["worker_options"]["nthreads"]
        return max(there, expected)

    def close(self, chunks: int) -> None:
        """Say what was sent."""
        get_run_logger().info("%d chunks went to workers in %d task runs", chunks, self.task_runs)

    def _take(
        self, batch: Batch, future: PrefectDaskFuture[list[ChunkRecord]], sizes: BatchSizes
    ) -> Iterator[ChunkJob]:
        """Report the chunks of a batch that came back; yield those that left no record since the run began."""
        progress = current_progress()
        try:
            records = {record.key: record for record in future.result()}
        except Exception:  # noqa: BLE001  (the task failed, or its worker died: the ledger knows what was reached)
            records = self.ledger.read_each(job.key for job in batch.jobs)
        fresh = []
        for job in batch.jobs:
            record = records.get(job.key)
            if record is None or self._is_old(record):
                yield job
            else:
                fresh.append(record)
                progress.ended(job, record)
        progress.returned()
        if fresh:
            sizes.took(len(fresh), sum(record.attempts[-1].seconds for record in fresh))
        self._ended += fresh
        if len(self._ended) >= GATHERED:
            self.ledger.gather(self._ended)
            self._ended = []

    def _is_old(self, record: ChunkRecord) -> bool:
        known = self.before.get(record.key)
        return known is not None and known.attempts == record.attempts
