"""Build one chunk and record the result."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from ardcube.chunk.composite import composite_chunk
from ardcube.chunk.open_cube import OpenCube
from ardcube.chunk.reduce import reduce_chunk
from ardcube.chunk.skip_scenes import without_bad_scenes
from ardcube.chunk.stage_timer import StageTimer
from ardcube.errors import ArdcubeError, LossError, PermanentError, TransientError
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkJob
from ardcube.redaction import without_secrets
from ardcube.runtime.usage import Usage, counting
from ardcube.storage.failures import NETWORK_LIBRARIES

_WRITE = "write"
"""Stage in which the store may hold pixels of two builds."""

logger = logging.getLogger(__name__)


def process_chunk(cube: OpenCube, job: ChunkJob, *, last: bool = False) -> ChunkRecord:
    """Build one chunk unless the ledger records it as done, and record the result.

    A chunk of a level of the pyramid is made of the pixels below it, any other chunk of scenes:

    1. Select the chunk's scenes from the manifest.
    2. Read the mask's bands on the chunk and its halo, and find the clear observations.
    3. Read reflectance where it is clear, and reduce it to the composite.
    4. Compare the clear pixels with those of an earlier build, which are kept if too many would be lost.
    5. Write the pixels to the chunk's region of the store.
    6. Write the record.

    Parameters
    ----------
    cube : OpenCube
        Cube of the chunk.
    job : ChunkJob
        Chunk to build.
    last : bool
        Whether this is the last attempt. With `skip_bad_scenes`, scenes that failed with a transient error are then
        left out too.

    Returns
    -------
    ChunkRecord
        The new record, or the existing one if the chunk was already done.

    Raises
    ------
    PermanentError
        After the failure was recorded; another attempt would fail too.
    TransientError
        After the failure was recorded; another attempt may succeed.
    """
    before = cube.ledger.read(job.key)
    if before is not None and before.is_done(job, cube.spec.skip_bad_scenes):
        return before
    attempt = Attempt(datetime.now(UTC).isoformat(timespec="seconds"), socket.gethostname(), 0.0)
    start, timer = time.perf_counter(), StageTimer()
    try:
        with counting() as usage:
            record = reduce_chunk(cube, job) if cube.spec.level else _build(cube, job, last, timer)
    except Exception as error:
        if _process_ends(error):
            raise TransientError(f"{job.key}: the process is exiting; the chunk is built by a later run") from error
        known = _classify(error)
        attempt = replace(
            attempt,
            seconds=time.perf_counter() - start,
            error=f"{type(known).__name__}: {known}",
            permanent=isinstance(known, PermanentError),
            bad_scenes=known.bad_scenes,
        )
        kept = job.rebuilt and _WRITE not in timer.seconds
        record = _with_usage(ChunkRecord(job.key, "failed", job.inputs, (), kept=kept), usage).after(before, attempt)
        logger.warning("%s: attempt %d failed: %s", job.key, record.attempt_count, attempt.error)
        cube.ledger.write(record)
        raise known from error
    attempt = replace(attempt, seconds=time.perf_counter() - start)
    record = _with_usage(record, usage).after(before, attempt)
    cube.ledger.write(record)
    return record


def _with_usage(record: ChunkRecord, usage: Usage) -> ChunkRecord:
    """Return the record with what the attempt has used."""
    return replace(
        record,
        statistics={**record.statistics, **usage.numbers()},
        byte_counts={**record.byte_counts, **usage.byte_counts()},
    )


def _build(cube: OpenCube, job: ChunkJob, last: bool, timer: StageTimer) -> ChunkRecord:
    """Composite the chunk and write its pixels; return the record without its attempts."""
    spec = cube.spec
    scenes = cube.scenes(job).query(spec.grid.window_outline(job.window.grow(spec.mask.halo)))
    cube.headers.load(job.period, scenes)
    pixels, skipped = without_bad_scenes(
        lambda good: composite_chunk(spec, job.window, good, timer, job.period, cube.clip),
        scenes,
        spec.skip_bad_scenes,
        last=last,
        chunk=str(job.key),
    )
    observed = int(np.count_nonzero(pixels.count))
    if job.rebuilt and spec.allow_loss < 1:
        _check_loss(cube.counts.clear_pixels(job.time_index, job.window), observed, spec.allow_loss)
    with timer.stage(_WRITE):
        values = {layer.name: array for layer, array in zip(spec.variables, pixels.variables, strict=True)}
        parts = [array.part_of(values[array.layer.name]) for array in spec.arrays]
        cube.store.write_chunk(job.time_index, job.window, *parts)
    cube.headers.save(job.period, scenes)
    return ChunkRecord(
        key=job.key,
        status="written" if observed else "empty",
        inputs=job.inputs,
        attempts=(),
        scenes=tuple(scene.id for scene in scenes if scene.id not in skipped),
        skipped=skipped,
        statistics={
            "days": pixels.days,
            "pixels": pixels.inside,
            "mean_clear_days": float(pixels.count.sum() / max(1, pixels.inside)),
            "observed_share": observed / max(1, pixels.inside),
            **{name: count for name, count in pixels.counts.items() if count},
        },
        seconds={name: round(value, 4) for name, value in timer.seconds.items()},
        byte_counts={
            "read": pixels.bytes_read,
            "written": sum(array.nbytes for array in pixels.variables),
        },
    )


def _check_loss(stored: int, new: int, allowed: float) -> None:
    """Raise LossError if a new build has too few of the clear pixels that the store holds."""
    lost = stored - new
    if stored and lost / stored > allowed:
        needed = -(-1000 * lost // stored) / 1000  # rounded up, so that this share allows the loss
        raise LossError(
            f"the chunk has {new} clear pixels instead of {stored} ({needed:.1%} less), and the stored ones are "
            f"kept; restore the scenes in the catalogue, or publish the loss with --allow-loss {needed:.3f} or more"
        )


def _process_ends(error: Exception) -> bool:
    """Return whether Python refuses new work because it exits; that says nothing about the chunk."""
    return isinstance(error, RuntimeError) and str(error).startswith("cannot schedule new futures after")


def _classify(error: Exception) -> ArdcubeError:
    """Return the error as an `ArdcubeError`: transient for networks, disks and memory, permanent otherwise."""
    if isinstance(error, ArdcubeError):
        error.args = (without_secrets(str(error)),)
        return error
    text = without_secrets(f"{type(error).__name__}: {error}")
    if isinstance(error, (PermissionError, FileNotFoundError, NotImplementedError)):
        return PermanentError(text)
    if isinstance(error, (OSError, TimeoutError, EOFError)):
        return TransientError(text)
    if isinstance(error, MemoryError):  # other chunks of this process may have ended by the next attempt
        return TransientError(f"{text}; set memory-limit, or choose fewer threads")
    if type(error).__module__.split(".")[0] in NETWORK_LIBRARIES:
        return TransientError(text)
    return PermanentError(text)
