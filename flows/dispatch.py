"""Sending chunks to workers: batches as task runs, a bounded number in flight; lost ones again, and at last alone."""

import math
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import distributed
from distributed.scheduler import KilledWorker
from prefect import Task
from prefect.logging import get_run_logger
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from ardcube.chunk.batch import Batch
from ardcube.config import RunConfig
from ardcube.errors import RunStopsError
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE, Attempt, ChunkRecord
from ardcube.plan.batch_size import SINGLE_CHUNK_LIMIT, BatchSizes
from ardcube.plan.estimate import within_memory
from ardcube.plan.jobs import ChunkJob, ChunkKey
from ardcube.plan.plan import CubePlan
from ardcube.storage.place import Place
from flows.in_flight import InHand
from flows.progress import current_progress
from flows.runners import (
    coiled_arguments,
    make_lone_runner,
    make_runner,
    tell_workers_the_server,
    workers_know_the_server,
)
from tasks.chunks import build_chunks

GATHERED = 5_000
"""Finished chunks whose records are put into one file while the run goes on."""

FEW = 8
"""Lost chunks that are built one at a time: more are sent together once more, since most shared a worker's fate."""
PATIENCE = 900.0
"""Seconds without any worker until a run gives up: a cluster may need minutes to bring the first."""
_SECONDS_BETWEEN_LOOKS = 10.0
"""At whether there is a worker."""

Records = Mapping[ChunkKey, ChunkRecord]
Builder = Task[[Batch], list[ChunkRecord]]


def build_all(plan: CubePlan, run: RunConfig, jobs: Sequence[ChunkJob], ledger: Ledger, before: Records) -> None:
    """Build jobs in batches; those that left no record of this run again, and at last each alone.

    What dies with every worker that builds nothing else is the worker's death: it is set aside as failed, under its
    name. In threads of this process there is no worker to die. What an earlier run had in hand when its process was
    killed is therefore built last, in a process of its own.

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

    Raises
    ------
    InputError
        If workers may take too little memory.
    """
    dispatch = _Dispatch(plan, run, ledger, before)
    own_process = run.serverless_backend == "local"
    in_hand = InHand(ledger.place) if own_process and _is_seen_by_others(ledger.place) else None
    suspects = in_hand.suspects if in_hand is not None else frozenset()
    lost = [job for job in jobs if job.key in suspects] if suspects else []
    rest = [job for job in jobs if job.key not in suspects] if lost else jobs
    if rest:
        with workers_know_the_server(run), make_runner(run) as runner, dispatch.on(runner, in_hand):
            tell_workers_the_server(run, runner.client)
            # What waits in this process is in hand as much as what is built: no more than keeps its threads busy.
            most = math.ceil(1.25 * run.local_threads) + 1 if own_process else None
            missing = dispatch.build(rest, BatchSizes(len(rest), run.batch_size, most))
            for size in (math.ceil(len(missing) / SINGLE_CHUNK_LIMIT), 1):
                if len(missing) > FEW:
                    missing = dispatch.build_again(missing, size)
            if not own_process:
                missing = dispatch.build_each_alone(missing)
            lost += missing
    if own_process and lost and in_hand is not None:
        get_run_logger().warning("%d chunks may have ended the process that built them; they get another", len(lost))
        with workers_know_the_server(run, lone=True), make_lone_runner() as runner, dispatch.on(runner):
            lost = dispatch.build_each_alone(lost)
    if in_hand is not None:
        others = suspects.difference((job.key for job in jobs), (key for key in suspects if _is_built(before, key)))
        in_hand.suspect_only({job.key for job in lost}.union(others))
    for job in lost:
        dispatch.set_aside(job)
    current_progress().returned()
    dispatch.close(len(jobs))


def _is_built(records: Records, key: ChunkKey) -> bool:
    return key in records and records[key].status in DONE


def _is_seen_by_others(place: Place) -> bool:
    """Whether another process finds what lies there: not what is in the memory of this one."""
    return not place.uri.startswith("memory:")


class _Dispatch:
    """Batches on their way to workers and back."""

    def __init__(self, plan: CubePlan, run: RunConfig, ledger: Ledger, before: Records) -> None:
        self.plan = plan
        self.run = run
        self.ledger = ledger
        self.before = before
        self.task_runs = 0
        self.task: Builder = build_chunks.with_options(
            retries=run.retries,
            retry_delay_seconds=[min(600.0, run.retry_delay_seconds * 2**k) for k in range(run.retries)] or 0.0,
        )
        self._ended: list[ChunkRecord] = []
        self._deaths: dict[ChunkKey, str] = {}
        self.alone = False
        """Whether chunks are built one at a time."""
        self.stranded = False
        """Whether there has been no worker for so long that the run gives up."""

    @contextmanager
    def on(self, runner: DaskTaskRunner, in_hand: InHand | None = None) -> Iterator[None]:
        """Send to a runner that was started; with `in_hand`, say so before."""
        self.runner = runner
        self.in_hand = in_hand
        self.spec = within_memory(self.plan, self.run.memory_bytes, self._chunks_at_once()).spec
        try:
            yield
        finally:
            if in_hand is not None:
                in_hand.put_down()

    def build_again(self, jobs: Sequence[ChunkJob], size: int) -> list[ChunkJob]:
        """Build what was lost once more, in batches of a size; return what is lost again."""
        if self.stranded:
            return list(jobs)
        get_run_logger().warning("%d chunks lost their worker; building them once more", len(jobs))
        return self.build(jobs, BatchSizes(len(jobs), size))

    def build_each_alone(self, jobs: Sequence[ChunkJob]) -> list[ChunkJob]:
        """Build jobs one at a time, so that nothing else can be what a worker dies of; return those that are lost."""
        lost: list[ChunkJob] = []
        self.alone = True
        for job in jobs:
            lost += self.build_again([job], 1)
        self.alone = False
        return lost

    def build(self, jobs: Sequence[ChunkJob], sizes: BatchSizes) -> list[ChunkJob]:
        """Keep a bounded number of batches in flight; return the jobs that were lost with their worker."""
        lost: list[ChunkJob] = []
        waiting = iter(jobs)
        flying: dict[object, tuple[Batch, PrefectDaskFuture[list[ChunkRecord]]]] = {}
        arrivals: Any = distributed.as_completed(loop=self.runner.client.loop)
        while sizes.left or flying:
            slots = self._slots()
            while sizes.left and len(flying) < sizes.in_flight(slots) and not self.stranded:
                batch = Batch(self.spec, tuple(islice(waiting, sizes.next(slots))))
                if self.in_hand is not None:
                    self.in_hand.take(job for other, _ in (*flying.values(), (batch, None)) for job in other.jobs)
                future = self.runner.submit(self.task, {"batch": batch})
                self.task_runs += 1
                flying[future.wrapped_future.key] = batch, future
                arrivals.add(future.wrapped_future)
            if not self._one_arrives(arrivals):
                return lost + [job for batch, _ in flying.values() for job in batch.jobs] + list(waiting)
            batch, future = flying.pop(next(arrivals).key)
            lost += self._take(batch, future, sizes)
        return lost

    def _one_arrives(self, arrivals: Any) -> bool:
        """Wait until a batch comes back; false where there has been no worker for too long."""
        seen = looked = time.monotonic()
        while not arrivals.has_ready():
            with arrivals.thread_condition:
                arrivals.thread_condition.wait(timeout=0.1)
            now = time.monotonic()
            if now - looked < _SECONDS_BETWEEN_LOOKS:
                continue
            looked = now
            client: Any = self.runner.client
            if client.nthreads():
                seen = now
            elif now - seen > PATIENCE:
                get_run_logger().error("no worker for %.0f minutes: giving up", PATIENCE / 60)
                self.stranded = True
                return False
            else:
                get_run_logger().warning("there is no worker; waiting for one")
        return True

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

    def _chunks_at_once(self) -> int:
        """Chunks that a worker process builds at the same time."""
        client: Any = self.runner.client
        threads = list(client.nthreads().values())
        if self.run.serverless_backend == "coiled":
            threads.append(coiled_arguments(self.run)[0]["worker_options"]["nthreads"])
        return max(threads, default=1)

    def set_aside(self, job: ChunkJob) -> None:
        """Report a chunk that nobody built; if its workers died of it, record that it failed."""
        record = None
        if job.key in self._deaths:
            before = self.ledger.read(job.key)
            attempt = Attempt(
                datetime.now(UTC).isoformat(timespec="seconds"),
                socket.gethostname(),
                0.0,
                self._deaths[job.key],
                permanent=True,
            )
            record = ChunkRecord(
                job.key, "failed", job.inputs, (*(before.attempts if before is not None else ()), attempt)
            )
            get_run_logger().error("%s is set aside: %s", job.key, self._deaths[job.key])
            self.ledger.write(record)
        current_progress().ended(job, record)

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
        except RunStopsError:
            raise  # the cube is another run's, or the store takes nothing more
        except KilledWorker as error:
            records = self.ledger.read_each(job.key for job in batch.jobs)
            if self.alone:
                self._deaths[batch.jobs[0].key] = (
                    f"KilledWorker: {error.allowed_failures + 1} worker processes died while they built this chunk and "
                    "nothing else; their logs say of what. Out of memory? Then --memory-limit or fewer threads help"
                )
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
