"""Build the missing levels of a pyramid, or copy a cube into the other layout."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, run_config, text_of
from ardcube.api.in_threads import build_levels
from ardcube.api.python_names import python_names
from ardcube.api.thread_pool import call_in_threads
from ardcube.config import RunConfig
from ardcube.errors import InputError
from ardcube.lease.acquire import holding
from ardcube.lease.lease import Lease
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.record import DONE
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.convert import Conversion, CubeAt
from ardcube.prepare.finalize import finalize, write_documents
from ardcube.prepare.finished import FinishedChunks
from ardcube.prepare.publish import publish_chunks
from ardcube.report.summary import BuildSummary, ChunksFailedError, RunScope, summarize

if TYPE_CHECKING:
    from ardcube.store.transaction import Transaction

logger = logging.getLogger(__name__)


def make_pyramid(uri: Uri, *, output: Uri | None = None, threads: int | None = None, **options: Any) -> BuildSummary:
    """Build the missing levels of a cube, or copy it into the other layout.

    Parameters
    ----------
    uri : str or path
        Store of the cube. It is changed only if `output` is omitted.
    output : str or path, optional
        Store of a copy: of layout `geozarr` if the cube is `flat`, else `flat`. The copy has the scenes and records of
        the cube, so that it can be continued. The same call again copies only chunks that were built since.
    threads : int, optional
        Chunks in work at once. Default: the number of CPUs that the process may use.
    **options
        Further fields of `RunConfig`, such as `storage_options` or `break_lease`.

    Returns
    -------
    BuildSummary
        Counts of the chunks that were copied, or of a cube whose levels were built.

    Raises
    ------
    InputError
        If there is no cube, it is flat and `output` is omitted, or `output` holds something else; nothing was written.
    LeaseHeldError
        If another run writes one of the cubes; nothing was written.
    ChunksFailedError
        If chunks of a level failed although all others were built. The same call continues.
    StoreError, TransientError
        If a chunk cannot be copied. The same call continues.
    """
    start = time.perf_counter()
    run = run_config(uri, {"threads": threads} | options)
    summary = _add_levels(run) if output is None else _convert(run, text_of(output))
    summary = replace(summary, seconds=time.perf_counter() - start)
    if summary.failures:
        raise ChunksFailedError(summary)
    return summary


pyramid = python_names(make_pyramid)
"""`make_pyramid`, whose errors name keyword arguments instead of options."""


def _add_levels(run: RunConfig) -> BuildSummary:
    """Build the missing levels in place."""
    found = CubeAt.find(run.fsspec_uri, run)
    if found.cube.config.layout == "flat":
        raise InputError(
            f"fsspec-uri {found.place.uri}: its layout is flat, which has no levels; give --output for a copy of "
            "layout geozarr"
        )
    with holding(found.ledger.place, break_lease=run.break_lease) as lease:
        found = CubeAt.find(run.fsspec_uri, run).for_writing()  # another run may have extended the cube before
        chunks = sum(record.status in DONE for record in found.ledger.records(brief=True).values())
        summary = summarize(RunScope(found.place.uri, chunks, 0), {}, 0.0)
        return _finished(found.spec(run), run, lease, found, summary)


def _convert(run: RunConfig, output: str) -> BuildSummary:
    """Copy the chunks that changed, then build the levels of the copy."""
    conversion = Conversion.of(run.fsspec_uri, output, run)  # before anything is written
    with (
        holding(conversion.source.ledger.place, break_lease=run.break_lease) as reading,
        holding(conversion.target.ledger.place, break_lease=run.break_lease) as lease,
    ):
        conversion = Conversion.of(run.fsspec_uri, output, run)
        spec, target = conversion.prepare(run)
        spec = replace(spec, holder=lease.claim.holder)
        records = conversion.source.ledger.records()
        jobs = conversion.due(records)
        _copy(conversion, target, spec, run, jobs, (reading, lease))
        scope = RunScope(target.place.uri, len(records), len(jobs), jobs)
        copied = target.ledger.held_by(lease.claim.holder).compact()
        return _finished(spec, run, lease, target, summarize(scope, copied, 0.0, len(records)))


def _copy(
    conversion: Conversion,
    target: CubeAt,
    spec: CubeSpec,
    run: RunConfig,
    jobs: list[ChunkJob],
    leases: tuple[Lease, Lease],
) -> None:
    from ardcube.chunk.copy import ChunkCopies  # zarr is slow to import

    def check() -> None:
        for lease in leases:
            lease.check()

    source = conversion.source
    finished = FinishedChunks(target.ledger.held_by(spec.holder), _transaction(target))
    copies = ChunkCopies(source.spec(run), source.place, spec, source.ledger.records())
    copied = call_in_threads(lambda job: copies.copy(job, finished.fork()), jobs, run.local_threads, check)
    for number, built in enumerate(copied, 1):
        for record in built.records:
            logger.info("%s: copied (%d of %d)", record.key, number, len(jobs))
        finished.add(built.records, built.changes)
    finished.flush()


def _finished(spec: CubeSpec, run: RunConfig, lease: Lease, cube: CubeAt, summary: BuildSummary) -> BuildSummary:
    """Build the missing levels of a cube, and describe and publish it."""
    holder, transaction = lease.claim.holder, _transaction(cube)
    ledger = cube.ledger.held_by(holder)
    summary = build_levels(replace(spec, holder=holder), run, lease, ledger, summary, transaction)
    records, periods = ledger.records(brief=True), cube.cube.periods
    finalize(cube.place, ledger, records.values())
    chunks = len(planned_chunks(ledger, cube.cube).tiles) * len(periods)
    built = sum(record.status in DONE for record in records.values())
    publish_chunks(cube.place, ledger, (built - bool(summary.failures), chunks), periods, spec.fingerprint)
    write_documents(run, cube.place, spec.storage_backend)
    return summary


def _transaction(cube: CubeAt) -> Transaction | None:
    from ardcube.store.transaction import transaction_of  # zarr is slow to import

    return transaction_of(cube.place)
