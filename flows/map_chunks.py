"""Map the chunk task over batches, with a bounded number of them in flight."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import distributed
from prefect import Task
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from ardcube.chunk.batch import Batch, Built
from ardcube.config import RunConfig
from ardcube.ledger.in_flight import InFlightFile
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.batch_size import BatchSizes
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from flows.workers import count_slots, wait_for_batch
from tasks.chunks import build_chunks

ChunkTask = Task[[Batch], Built]
BatchFuture = PrefectDaskFuture[Built]


def chunk_task(run: RunConfig) -> ChunkTask:
    """Return the chunk task with the run's retries, delayed by exponential backoff."""
    return build_chunks.with_options(retries=run.retries, retry_delay_seconds=run.retry_delays or 0.0)


class BatchQueue:
    """Chunks of one round, cut into batches when they are sent.

    Parameters
    ----------
    run : RunConfig
        Says how many batches the workers take.
    spec : CubeSpec
        Travels with each batch.
    jobs : sequence of ChunkJob
        The chunks.
    sizes : BatchSizes
        Sizes of the batches, and how many may be in flight.
    in_flight_file : InFlightFile, optional
        Gets the keys of the chunks in flight before they are sent.
    fork : callable, optional
        Return the session that the chunks of a batch are written to, or None for a plain store.
    """

    def __init__(
        self,
        run: RunConfig,
        spec: CubeSpec,
        jobs: Sequence[ChunkJob],
        sizes: BatchSizes,
        in_flight_file: InFlightFile | None = None,
        fork: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self._run = run
        self._spec = spec
        self._jobs = iter(jobs)
        self._sizes = sizes
        self._file = in_flight_file
        self._fork = fork
        self.patience = run.patience_seconds
        """Seconds to wait for a worker."""
        self.sent = 0
        """Batches that were sent."""
        self.abandoned: list[ChunkJob] = []
        """Chunks that no worker was left for."""

    def __bool__(self) -> bool:
        """Return whether chunks are left to send."""
        return self._sizes.left > 0

    def next_batches(self, client: Any, in_flight: Sequence[Batch]) -> list[Batch]:
        """Return the batches that can be sent now, in addition to those in flight."""
        slots = count_slots(self._run, client)
        batches: list[Batch] = []
        while self and len(in_flight) + len(batches) < self._sizes.in_flight(slots):
            batches.append(Batch(self._spec, tuple(islice(self._jobs, self._sizes.next(slots))), self._fork()))
        if batches and self._file is not None:
            self._file.write(job.key for batch in (*in_flight, *batches) for job in batch.jobs)
        self.sent += len(batches)
        return batches

    def measured(self, records: Sequence[ChunkRecord]) -> None:
        """Adapt the sizes of further batches to the seconds that chunks took."""
        if records:
            self._sizes.took(len(records), sum(record.attempts[-1].seconds for record in records))

    def abandon(self, in_flight: Sequence[Batch]) -> None:
        """Send no more batches; those in flight will not complete."""
        self.abandoned = [*(job for batch in in_flight for job in batch.jobs), *self._jobs]
        self._sizes.sent = self._sizes.chunks


def map_batches(runner: DaskTaskRunner, task: ChunkTask, batches: BatchQueue) -> Iterator[tuple[Batch, BatchFuture]]:
    """Map a task over batches; yield each batch with its future as it completes.

    A window of batches is in flight: as batches complete, the task is mapped over the next ones. Mapping over all of
    them at once would fill the scheduler's memory, and would fix their sizes before a chunk was measured.

    Parameters
    ----------
    runner : DaskTaskRunner
        A runner that was started.
    task : Task
        The chunk task.
    batches : BatchQueue
        Gets the batches of the workers that were lost without replacement (`abandoned`).
    """
    in_flight: dict[str, tuple[Batch, BatchFuture]] = {}
    completed: Any = distributed.as_completed(loop=runner.client.loop)
    while batches or in_flight:
        window = batches.next_batches(runner.client, [batch for batch, _ in in_flight.values()])
        if window:
            futures: Any = runner.map(task, {"batch": window})
            for batch, future in zip(window, futures, strict=True):
                in_flight[future.wrapped_future.key] = batch, future
            completed.update(future.wrapped_future for future in futures)
        if not wait_for_batch(completed, runner.client, batches.patience):
            batches.abandon([batch for batch, _ in in_flight.values()])
            return
        for future in completed.next_batch(block=False):
            yield in_flight.pop(future.key)
