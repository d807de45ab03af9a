"""From jobs to an end that tells the truth: build, gather the records, tell what became of them, fail if need be."""

import time
from typing import Any
from uuid import UUID

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.config import RunConfig
from ardcube.lease.lease import Lease
from ardcube.prepare.pending import PendingBuild
from ardcube.report.summary import BuildSummary, ChunksFailedError, summarize
from ardcube.storage.place import cube_name
from flows.progress import current_progress, reporting
from flows.progress_artifact import Watch
from flows.summary_artifacts import post_pages


def build_pending(pending: PendingBuild, run: RunConfig, lease: Lease, start: float) -> BuildSummary:
    """Build the pending chunks of a cube whose store is initialized.

    Parameters
    ----------
    pending : PendingBuild
        The chunks and their cube.
    run : RunConfig
        Where and how; `limit` bounds the number of chunks.
    lease : Lease
        Lease of the cube.
    start : float
        Start of the run, by `time.perf_counter`.

    Raises
    ------
    ChunksFailedError
        If chunks are missing although everything else was built.
    LeaseLostError
        If another run has taken the cube from this one.
    """
    from flows.dispatch import build_all  # slow to import; who only lists or cancels runs does not wait for it

    logger = get_run_logger()
    lease.check()
    # From here on workers, and this process, write nothing once another run holds the cube.
    pending = pending.held_by(lease.claim.holder)
    place, ledger, before = pending.place, pending.ledger, pending.records
    selected = pending.jobs if run.limit is None else pending.jobs[: run.limit]
    watch = Watch(
        current_progress(),
        UUID(str(flow_run.id)),
        cube_name(place.path),
        lambda key: len(before[key].attempts) if key in before else 0,
        lease.check,
    )
    with reporting(watch):
        watch.started(len(selected), pending.chunks - len(pending.jobs))
        if selected:
            build_all(pending.plan, run, selected, ledger, before)
        watch.finished()
    lease.check()
    records = ledger.compact()
    took = time.perf_counter() - start
    summary = summarize(place.uri, pending.chunks, selected, pending.jobs, records, took, run.skip_bad_scenes)
    logger.info("%d written, %d empty, %d failed", summary.written, summary.empty, summary.failed)
    post_pages(UUID(str(flow_run.id)), run, place, ledger, records, summary, watch.tally)
    for scene in summary.left_out[:_MOST_LOGGED]:
        logger.warning("scene %s is left out of %d chunks: %s", scene.scene, scene.chunks, scene.reason)
    if summary.failures:
        _log_failures(summary, logger)
        raise ChunksFailedError(summary)
    return summary


_MOST_LOGGED = 20
"""Failures that are logged one by one; the table has more, the ledger all."""


def _log_failures(summary: BuildSummary, logger: Any) -> None:
    for failure in summary.failures[:_MOST_LOGGED]:
        logger.error("%s failed after %d attempts: %s", failure.chunk, failure.attempts, failure.error)
    if len(summary.failures) > _MOST_LOGGED:
        logger.error("and %d more", len(summary.failures) - _MOST_LOGGED)
