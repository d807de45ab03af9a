"""Recover from lost workers and poison chunks.

A poison chunk kills every worker process that builds it. Workers that are killed by something else lose innocent
chunks. So lost chunks are built again in smaller batches while there are many, then one at a time with nothing else in
flight. A chunk that still kills its workers is recorded as failed, and the other chunks are built.

With the local backend, the worker is the flow's own process. Chunks that were in flight when the process of an earlier
run was killed are suspects: they are built last, one at a time in a separate process.
"""

import math
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from ardcube.ledger.in_flight import InFlightFile
from ardcube.ledger.record import DONE, Attempt, ChunkRecord
from ardcube.planning.batch_size import BatchSizes
from ardcube.planning.estimate import within_memory
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.report.wording import count_of
from flows.batch_results import BatchResults
from flows.map_chunks import BatchQueue
from flows.progress import current_progress
from flows.run_context import RunContext

FEW = 8
"""Lost chunks that are built one at a time at once. More are first sent together again, since most are innocent."""
_BATCHES_OF_LOST = 200
"""Most batches in which many lost chunks are sent together again."""


class Recovery:
    """Rounds in which the chunks of a run are built.

    Parameters
    ----------
    context : RunContext
        The run.
    results : BatchResults
        Gets the result of each batch before the next round is asked for.

    Attributes
    ----------
    jobs : sequence of ChunkJob
        Chunks of the first round: all selected chunks but the suspects.
    suspects : list of ChunkJob
        Chunks that are built in a separate process, since they may have killed the flow's own.
    """

    def __init__(self, context: RunContext, results: BatchResults) -> None:
        self._context = context
        self._results = results
        self._is_local = context.run.serverless_backend == "local"
        self._poison: dict[ChunkKey, int] = {}
        self._lost: list[ChunkJob] = []
        self._stopped = False
        """Whether the cluster was without a worker for too long."""
        self.task_runs = 0
        # A ledger in memory does not outlive the process.
        is_kept = self._is_local and not context.pending.ledger.place.uri.startswith("memory:")
        self._file = InFlightFile(context.pending.ledger.place) if is_kept else None
        self._suspected = self._file.suspects if self._file is not None else frozenset()
        self.jobs: Sequence[ChunkJob] = context.selected
        self.suspects: list[ChunkJob] = []
        if self._suspected:
            self.suspects = [job for job in context.selected if job.key in self._suspected]
            self.jobs = [job for job in context.selected if job.key not in self._suspected]

    @contextmanager
    def in_flight_cleared(self) -> Iterator[None]:
        """Clear the list of chunks in flight at the end of the block."""
        try:
            yield
        finally:
            if self._file is not None:
                self._file.clear()

    def rounds(self) -> Iterator[BatchQueue]:
        """Yield the rounds on the run's runner: all chunks, then the lost ones.

        Each round must be complete before the next one is asked for.
        """
        run, spec = self._context.run, self._spec()
        # Chunks that wait in the flow's own process are in flight too: as few as keep its threads busy.
        most = math.ceil(1.25 * run.local_threads) + 1 if self._is_local else None
        yield from self._round(spec, self.jobs, BatchSizes(len(self.jobs), run.batch_size, most))
        for size in (math.ceil(len(self._lost) / _BATCHES_OF_LOST), 1):
            if len(self._lost) > FEW:
                yield from self._again(spec, self._lost, size)
        if not self._is_local:
            yield from self._each_alone(spec, self._lost)
        elif self._file is not None:
            self.suspects += self._lost
            self._lost = []

    def isolated_rounds(self) -> Iterator[BatchQueue]:
        """Yield the rounds on the runner of a separate process: each suspect alone."""
        get_run_logger().warning(
            "%d chunks may have killed the process that built them; building them in another one", len(self.suspects)
        )
        yield from self._each_alone(self._spec(), self.suspects)

    def finish(self) -> None:
        """Report the chunks that no round built; record poison chunks as failed."""
        selected = self._context.selected
        if self._file is not None:
            others = self._suspected.difference(job.key for job in selected)
            left = {key for key in others if not self._was_done(key)}
            self._file.suspect_only(left.union(job.key for job in self._lost))
        for job in self._lost:
            current_progress().chunk_ended(job, self._set_aside(job) if job.key in self._poison else None)
        current_progress().batch_ended()
        get_run_logger().info("%d chunks went to workers in %d task runs", len(selected), self.task_runs)

    def _round(
        self, spec: CubeSpec, jobs: Sequence[ChunkJob], sizes: BatchSizes, *, alone: bool = False
    ) -> Iterator[BatchQueue]:
        """Yield one round; note the chunks that were lost in it, and why."""
        batches = BatchQueue(self._context.run, spec, jobs, sizes, None if alone else self._file, self._results.fork)
        yield batches
        self.task_runs += batches.sent
        self._stopped = bool(batches.abandoned)
        self._lost = self._results.take_lost() + batches.abandoned

    def _again(
        self, spec: CubeSpec, jobs: Sequence[ChunkJob], size: int, *, alone: bool = False
    ) -> Iterator[BatchQueue]:
        """Yield a round of lost chunks, unless the cluster has no worker any more."""
        if self._stopped:
            self._lost = list(jobs)
            return
        get_run_logger().warning("%d chunks lost their worker; building them again", len(jobs))
        yield from self._round(spec, jobs, BatchSizes(len(jobs), size), alone=alone)

    def _each_alone(self, spec: CubeSpec, jobs: Sequence[ChunkJob]) -> Iterator[BatchQueue]:
        """Yield a round for each chunk: if its workers die, the chunk kills them."""
        lost: list[ChunkJob] = []
        for job in jobs:
            self._results.worker_deaths.clear()
            yield from self._again(spec, [job], 1, alone=True)
            if job.key in self._results.worker_deaths:
                self._poison[job.key] = self._results.worker_deaths[job.key]
            lost += self._lost
        self._lost = lost

    def _spec(self) -> CubeSpec:
        """Return the cube's spec with the memory limit of a worker, which each worker divides among its threads."""
        return within_memory(self._context.pending.plan, self._context.run.memory_bytes, 1).spec

    def _set_aside(self, job: ChunkJob) -> ChunkRecord:
        """Record a poison chunk as failed."""
        error = (
            f"KilledWorker: {count_of(self._poison[job.key], 'worker')} died while building this chunk and nothing "
            "else; the logs of workers say why; if memory ran out, set --memory-limit or use fewer threads"
        )
        before = self._context.pending.ledger.read(job.key)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        attempt = Attempt(now, socket.gethostname(), 0.0, error, permanent=True)
        record = ChunkRecord(job.key, "failed", job.inputs, ()).after(before, attempt)
        get_run_logger().error("%s is set aside: %s", job.key, error)
        self._context.pending.ledger.write(record)
        return record

    def _was_done(self, key: ChunkKey) -> bool:
        records = self._context.pending.records
        return key in records and records[key].status in DONE
