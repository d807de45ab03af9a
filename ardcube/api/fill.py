"""Fill the gaps of a finished cube in time, into a second cube next to it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ardcube.api.existing import Uri, run_config, text_of
from ardcube.api.in_threads import build_levels
from ardcube.api.python_names import python_names
from ardcube.api.thread_pool import call_in_threads
from ardcube.config import RunConfig
from ardcube.errors import InputError
from ardcube.filling.request import Filling, FillJob, due_jobs
from ardcube.lease.acquire import holding
from ardcube.lease.lease import Lease
from ardcube.ledger.record import ChunkRecord
from ardcube.pixels.gaps import Method
from ardcube.pixels.masks import cloud_mask
from ardcube.planning.plan import CubeSpec
from ardcube.prepare.finished import FinishedChunks
from ardcube.prepare.publish import publish_chunks
from ardcube.prepare.spec import cube_spec
from ardcube.report.summary import ChunksFailedError, RunScope, summarize

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FillSummary:
    """Counts of one pass."""

    uri: str
    """Store of the filled cube."""
    chunks: int
    """Chunks of the whole cube."""
    already_done: int
    """Chunks that an earlier pass had filled from the same chunks."""
    observed: float
    """Share of observed pixels in all chunks."""
    filled: float
    """Share of filled pixels in all chunks."""
    seconds: float

    @property
    def empty(self) -> float:
        """Share of pixels without a value in all chunks."""
        return max(0.0, 1.0 - self.observed - self.filled)


def fill_cube(
    uri: Uri,
    *,
    method: Method,
    max_periods: int,
    output: Uri | None = None,
    allow_missing: bool = False,
    threads: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> FillSummary:
    """Fill the pixels of a cube without observation from other periods, into a second cube next to it.

    The cube itself is not changed. The filled cube has the same variables, and the layers `filled` (0 empty,
    1 observed, 2 filled) and `fill_distance` (periods). The same call again fills only chunks whose sources changed, or
    that an interrupted call left. Threads of this process work chunk by chunk.

    Parameters
    ----------
    uri : str or path
        Store of a finished cube.
    method : str
        `carry`: the last observed period. `interpolate`: linear in time between the last and the next observed period.
    max_periods : int
        Periods that an observed period may be away, 1 to 254.
    output : str or path, optional
        Store of the filled cube, on the same filesystem. Default: ``cube-filled.zarr`` for ``cube.zarr``.
    allow_missing : bool
        Fill also a cube with missing chunks; they count as gaps.
    threads : int, optional
        Chunks filled at once. Default: the number of CPUs that the process may use.
    storage_options : mapping, optional
        Options of the filesystem of both stores.

    Returns
    -------
    FillSummary
        Counts of chunks, and shares of observed, filled and empty pixels.

    Raises
    ------
    InputError
        If there is no cube, it is unfinished, an argument is invalid, or the output holds something else; nothing was
        written.
    LeaseHeldError
        If another run writes one of the cubes; nothing was written.
    ChunksFailedError
        If chunks of a level failed although all others were built. The same call continues.
    StoreError
        If one of the stores is damaged.
    RunStopsError, TransientError
        If a store cannot be read or written. The same call continues.
    """
    start = time.perf_counter()
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"--threads {threads!r:.60}: not a number of threads; give 1 or more")
    request = (text_of(uri), None if output is None else text_of(output), method, max_periods, storage_options)
    filling = Filling.of(*request)
    due_jobs(filling, allow_missing=allow_missing)  # before anything is written
    run = run_config(filling.output.uri, {"threads": threads})
    spec = replace(_spec(filling, run), storage_options=dict(storage_options or {}))  # they may have secrets
    with holding(filling.ledger.place) as source, holding(filling.output_ledger.place) as lease:
        filling = Filling.of(*request)  # another run may have changed the cubes before this one held the leases
        jobs, chunks = due_jobs(filling, allow_missing=allow_missing)
        spec = replace(spec, periods=len(filling.cube.periods), holder=lease.claim.holder)
        _fill(filling, spec, jobs, run, (source, lease))
        observed, filled = _shares(filling.output_ledger.records().values())
    return FillSummary(filling.output.uri, chunks, chunks - len(jobs), observed, filled, time.perf_counter() - start)


fill = python_names(fill_cube)
"""`fill_cube`, whose errors name keyword arguments instead of options."""


def _fill(filling: Filling, spec: CubeSpec, jobs: list[FillJob], run: RunConfig, leases: tuple[Lease, Lease]) -> None:
    """Prepare the store of the filled cube, fill the chunks, build the levels above them, and publish a version."""
    from ardcube.filling.chunk import OpenFilling  # zarr is slow to import
    from ardcube.filling.output import prepare_output, write_shares
    from ardcube.store.transaction import transaction_of

    def check() -> None:
        for one in leases:
            one.check()

    check()
    place, ledger = prepare_output(filling, spec), filling.output_ledger.held_by(spec.holder)
    transaction = transaction_of(place)
    cube, finished = OpenFilling.open(filling, spec, place, ledger), FinishedChunks(ledger, transaction)
    filled = call_in_threads(lambda job: cube.fill(job, finished.fork()), jobs, run.local_threads, check)
    for number, (record, changes) in enumerate(filled, 1):
        finished.add([record], changes)
        logger.info("%s: %s (%d of %d)", record.key, record.status, number, len(jobs))
    finished.flush()
    is_changed = bool(jobs) or (transaction is not None and transaction.is_new)
    chunks = len(ledger.compact()) if is_changed else 0
    levels = summarize(RunScope(place.uri, chunks, 0), {}, 0.0)
    levels = build_levels(spec, run, leases[1], ledger, levels, transaction)
    if is_changed:
        write_shares(filling, place)
    counts = chunks - levels.failed, chunks
    publish_chunks(place, ledger, counts, filling.filled.periods, spec.fingerprint)
    if levels.failures:
        raise ChunksFailedError(levels)


def _spec(filling: Filling, run: RunConfig) -> CubeSpec:
    """Return the spec of the filled cube."""
    config = filling.cube.config
    mask = cloud_mask(config.cloud_mask, config.cloud_mask_options)
    return cube_spec(filling.filled, run, mask, filling.output, filling.output_ledger, "unsigned")


def _shares(records: Iterable[ChunkRecord]) -> tuple[float, float]:
    """Return the shares of observed and filled pixels in chunks."""
    counts = Counter[str]()
    for record in records:
        counts.update({name: int(record.statistics[name]) for name in ("empty", "observed", "filled")})
    pixels = max(1, counts.total())
    return counts["observed"] / pixels, counts["filled"] / pixels
