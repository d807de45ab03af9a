"""Build the pending chunks of a cube in threads of this process, without an orchestrator."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from ardcube.api.thread_pool import call_in_threads
from ardcube.chunk.batch import Batch, Built
from ardcube.chunk.forked import build_batch
from ardcube.config import RunConfig
from ardcube.errors import PermanentError, RunStopsError, TransientError
from ardcube.lease.lease import Lease
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE
from ardcube.ledger.run_costs import used_by
from ardcube.planning.cost.run_cost import UsedSum
from ardcube.planning.estimate import within_memory
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.finalize import finalize, write_documents
from ardcube.prepare.finished import FinishedChunks
from ardcube.prepare.levels import level_builds
from ardcube.prepare.pending import PendingBuild
from ardcube.prepare.publish import publish
from ardcube.prepare.run_cost import counted_cost, expected_cost
from ardcube.report.summary import BuildSummary, ChunksFailedError, RunScope, summarize

if TYPE_CHECKING:
    from ardcube.store.transaction import Transaction

logger = logging.getLogger(__name__)

_JITTER = 0.5
"""Share of a delay by which it varies at random, so that threads do not retry at the same time."""


def build_in_threads(pending: PendingBuild, run: RunConfig, lease: Lease, start: float) -> BuildSummary:
    """Build the pending chunks of a cube whose store is initialized.

    An interrupt (Ctrl-C) starts no further chunk and waits for those in flight, so that the lease can be released.

    Parameters
    ----------
    pending : PendingBuild
        The chunks and their cube.
    run : RunConfig
        Where and how: `threads`, `limit`, `retries`, `retry_delay_seconds`, `memory_limit`.
    lease : Lease
        Lease of the cube.
    start : float
        Start of the run, by `time.perf_counter`.

    Raises
    ------
    ChunksFailedError
        If chunks are missing although all others were built; it holds the summary.
    RunStopsError
        If no further chunk can be written, because the lease was lost or the store cannot be written.
    """
    lease.check()
    pending = pending.held_by(lease.claim.holder)
    ledger, place = pending.ledger, pending.place
    spec = within_memory(pending.plan, run.memory_bytes, run.local_threads).spec
    selected = pending.jobs if run.limit is None else pending.jobs[: run.limit]
    logger.info("building %d of %d chunks at %s", len(selected), pending.chunks, place.uri)
    expected, used = expected_cost(pending, run), UsedSum()
    _build_all(spec, run, selected, lease, FinishedChunks(ledger, pending.transaction), used)
    records = ledger.compact()
    summary = summarize(
        RunScope(place.uri, pending.chunks, pending.not_done, selected), records, 0.0, run.skip_bad_scenes
    )
    summary = build_levels(spec, run, lease, ledger, summary, pending.transaction)
    summary = replace(summary, seconds=time.perf_counter() - start)
    built = summary.written + summary.empty, summary.megapixels, summary.seconds
    summary = replace(summary, cost=counted_cost(pending, run, expected, used, built))
    for message in summary.empty_periods.messages():
        logger.warning("%s: %s", place.uri, message)
    if run.report:
        from ardcube.report.html.write import write_next_to_ledger  # zarr is slow to import

        summary = replace(summary, report=write_next_to_ledger(place, run.storage_options, ledger))
    finalize(place, ledger, records.values())
    publish(pending, complete=not summary.failures and len(selected) == len(pending.jobs))
    write_documents(run, place, spec.storage_backend)
    if summary.failures:
        raise ChunksFailedError(summary)
    return summary


def build_levels(
    spec: CubeSpec,
    run: RunConfig,
    lease: Lease,
    ledger: Ledger,
    summary: BuildSummary,
    transaction: Transaction | None = None,
) -> BuildSummary:
    """Build the levels of a pyramid above chunks that have changed; return the summary with those that failed."""
    for level in level_builds(spec, ledger):
        _build_all(level.spec, run, level.jobs, lease, FinishedChunks(level.ledger, transaction))
        if level.jobs:
            summary = summary.with_level(level.spec.level, level.jobs, level.ledger.records(brief=True))
    return summary


def _build_all(
    spec: CubeSpec,
    run: RunConfig,
    jobs: Sequence[ChunkJob],
    lease: Lease,
    finished: FinishedChunks,
    used: UsedSum | None = None,
) -> None:
    """Build jobs, as many at once as the run has threads; merge their records from time to time.

    The counted figures of chunks that are built are added to `used`.
    """
    stop = Event()
    built = call_in_threads(
        lambda job: _build(Batch(spec, (job,), finished.fork()), run, stop),
        jobs,
        run.local_threads,
        lease.check,
        stop=stop.set,
    )
    for number, one in enumerate(built, 1):
        records = [] if one is None else [record for record in one.records if record.status in DONE]
        for record in records:
            if used is not None:
                used.add(used_by(record))
            logger.info("%s: %s (%d of %d)", record.key, record.status, number, len(jobs))
        if one is not None and records:
            finished.add(records, one.changes)
    finished.flush()
    lease.check()


def _build(batch: Batch, run: RunConfig, stop: Event) -> Built | None:
    """Build one chunk, again after transient errors with a growing delay; None once it has failed."""
    (job,) = batch.jobs
    for attempt in range(run.retries + 1):
        last = attempt == run.retries
        try:
            return build_batch(batch, batch.spec, again=attempt > 0, last=last)
        except RunStopsError:
            raise
        except PermanentError as error:
            logger.error("%s failed: %s", job.key, error)
            return None
        except TransientError as error:
            if last:
                logger.error("%s failed after %d attempts: %s", job.key, attempt + 1, error)
                return None
            delay = run.retry_delays[attempt] * (1 + random.uniform(0, _JITTER))
            logger.warning("%s: another attempt in %.1f s: %s", job.key, delay, error)
            if stop.wait(delay):
                return None
    return None
