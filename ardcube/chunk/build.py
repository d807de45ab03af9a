"""One chunk: load, mask, composite, write, record."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.chunk.read import ChunkReader, SolarDay, days_to_numpy, solar_days
from ardcube.chunk.skip_scenes import without_bad_scenes
from ardcube.errors import ArdcubeError, PermanentError, TransientError
from ardcube.extent.grid import Window
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.manifest import read_manifest
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.pixels.bitmask import Bits, none_set, packed
from ardcube.pixels.median import count_days, median_of_valid, observe
from ardcube.pixels.observations import Observations
from ardcube.plan.jobs import ChunkJob
from ardcube.plan.memory import DAYS_AT_ONCE, STACK_BYTES, Work, portion, portions
from ardcube.plan.plan import CubeSpec
from ardcube.redaction import without_secrets
from ardcube.runtime.buffers import empty_stack
from ardcube.runtime.malloc import keep_freed
from ardcube.storage.failures import NETWORK_LIBRARIES
from ardcube.store.writer import open_for_writing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The pixels of one chunk and how they came about."""

    values: NDArray[np.uint16]
    """Composite (y, x, band)."""
    count: NDArray[np.uint16]
    """Clear days (y, x)."""
    days: int
    bytes_read: int
    """Decoded bytes of source pixels."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def process_chunk(spec: CubeSpec, job: ChunkJob, *, last: bool = False) -> ChunkRecord:
    """Build one chunk, unless the ledger says that it is done, and record what became of it.

    Steps: the chunk's scenes from the manifest; the mask's bands on the chunk and its halo; which observations
    are clear; band by band the clear observations and their median; the pixels into the store; then the record.

    Parameters
    ----------
    spec : CubeSpec
        Of the cube.
    job : ChunkJob
        What to build.
    last : bool
        Whether no further attempt follows: with `spec.skip_bad_scenes`, scenes are then also left out that may be
        readable at another time.

    Returns
    -------
    ChunkRecord
        The new one, or the one that stood.

    Raises
    ------
    PermanentError
        After the failure was recorded; trying again would give the same.
    TransientError
        After the failure was recorded; worth another try.
    """
    ledger = Ledger.at(spec.ledger_uri, spec.storage_options, spec.holder)
    before = ledger.read(job.key)
    if before is not None and before.is_done(job, spec.skip_bad_scenes):
        return before
    attempts = before.attempts if before is not None else ()
    attempt = Attempt(_now(), socket.gethostname(), 0.0)
    start = time.perf_counter()
    try:
        record = _build(spec, job, last)
    except Exception as error:
        if _process_ends(error):
            raise TransientError(f"{job.key} was given up, since its process ends") from error
        known = _classify(error)
        attempt = replace(
            attempt,
            seconds=time.perf_counter() - start,
            error=f"{type(known).__name__}: {known}",
            permanent=isinstance(known, PermanentError),
        )
        logger.warning("%s: attempt %d failed: %s", job.key, len(attempts) + 1, attempt.error)
        ledger.write(ChunkRecord(job.key, "failed", job.inputs, (*attempts, attempt)))
        raise known from error
    attempt = replace(attempt, seconds=time.perf_counter() - start)
    record = replace(record, attempts=(*attempts, attempt))
    ledger.write(record)
    return record


def _build(spec: CubeSpec, job: ChunkJob, last: bool) -> ChunkRecord:
    index = read_manifest(spec.ledger_uri, job.manifest, spec.storage_options)
    scenes = index.query(spec.grid.window_box(job.window.grow(spec.mask.halo)))
    watch = Stopwatch()
    chunk, skipped = without_bad_scenes(
        lambda good: _composite_parts(spec, job, good, watch),
        scenes,
        spec.skip_bad_scenes,
        last=last,
        chunk=str(job.key),
    )
    with watch.stage("write"):
        open_for_writing(spec).write_chunk(job.time_index, job.window, chunk.values, chunk.count)
    observed = int(np.count_nonzero(chunk.count))
    return ChunkRecord(
        key=job.key,
        status="written" if observed else "empty",
        inputs=job.inputs,
        attempts=(),
        scenes=tuple(scene.id for scene in scenes if scene.id not in skipped),
        skipped=skipped,
        statistics={
            "days": chunk.days,
            "mean_clear_days": float(chunk.count.mean()),
            "observed_share": observed / job.pixels,
        },
        seconds={name: round(value, 4) for name, value in watch.seconds.items()},
        byte_counts={"read": chunk.bytes_read, "written": chunk.values.nbytes + chunk.count.nbytes},
    )


def _composite_parts(spec: CubeSpec, job: ChunkJob, scenes: list[Scene], watch: Stopwatch) -> Chunk:
    """Compute a chunk in parts of bounded size, so that a shard of many chunks takes little more memory than one."""
    height, width = job.window.shape
    days = len(solar_days(scenes))
    work = Work.of(spec.mask, len(spec.bands), (height, width), days, len(scenes))
    how = portions(work, spec.chunk_memory)
    parts = list(job.window.split(how.side))
    if len(parts) == 1:
        return composite_chunk(spec, job, scenes, watch, how.stack_bytes)
    values, count = np.zeros((height, width, len(spec.bands)), np.uint16), np.zeros((height, width), np.uint16)
    index, bytes_read = SceneIndex(scenes), 0
    for part in parts:
        near = index.query(spec.grid.window_box(part.grow(spec.mask.halo)))
        built = composite_chunk(spec, replace(job, window=part), near, watch, how.stack_bytes)
        inside = part.relative_to(job.window).slices
        values[inside], count[inside] = built.values, built.count
        bytes_read += built.bytes_read
    return Chunk(values, count, days, bytes_read)


def composite_chunk(
    spec: CubeSpec,
    job: ChunkJob,
    scenes: list[Scene],
    watch: Stopwatch | None = None,
    stack_bytes: int = STACK_BYTES,
) -> Chunk:
    """Compute the pixels of one chunk from the scenes that meet it; writes nothing.

    The mask comes first: where it says that nothing is clear, no reflectance is read. Then bands are stacked and
    reduced, as many at once, and as many rows, as `ardcube.plan.memory` allows.

    Parameters
    ----------
    spec : CubeSpec
        Of the cube.
    job : ChunkJob
        Says where.
    scenes : list of Scene
        All whose grown footprint meets the chunk and its halo.
    watch : optional
        Takes the seconds of each stage.
    stack_bytes : int
        For the stack of observations, in bytes.
    """
    watch = watch or Stopwatch()
    every_day = solar_days(scenes)
    around = ChunkReader(spec.grid, job.window.grow(spec.mask.halo), spec.asset_access, spec.reader, spec.threads)
    days, clear = _clear_days(spec, around, every_day, watch)
    reader, bytes_read = around.crop(job.window), around.bytes_read
    del around  # with what the mask alone needed to know
    height, width = job.window.shape
    values = np.zeros((height, width, len(spec.bands)), np.uint16)
    observed = none_set(len(days), height, width)
    at_once, rows = portion(len(days), height, width, len(spec.bands), stack_bytes)
    keep_freed(stack_bytes - 2 * len(days) * at_once * rows * width)
    for top in range(0, height, rows):
        part = slice(top, min(height, top + rows))
        window = Window(job.window.y0 + part.start, job.window.y0 + part.stop, job.window.x0, job.window.x1)
        strip = reader if window == reader.window else reader.crop(window)
        strip_clear = [bits[part] for bits in clear]
        for first in range(0, len(spec.bands), at_once):
            bands = spec.bands[first : first + at_once]
            with empty_stack((len(bands), len(days), *strip.window.shape)) as stack:
                with watch.stage("bands"):
                    strip.reflectance(days, bands, strip_clear, spec.resampling, spec.offset, stack)
                with watch.stage("composite"):
                    for position in range(len(bands)):
                        median_of_valid(stack[position], values[part, :, first + position])
                    observe(stack, observed[:, part])
        bytes_read += strip.bytes_read
    return Chunk(values, count_days(observed, width), len(every_day), bytes_read)


def _clear_days(
    spec: CubeSpec, reader: ChunkReader, days: list[SolarDay], watch: Stopwatch
) -> tuple[list[SolarDay], list[Bits]]:
    """Days with a clear pixel in the chunk, and where, without the halo."""
    kept: list[SolarDay] = []
    clear: list[Bits] = []
    group = DAYS_AT_ONCE if getattr(spec.mask, "independent_days", False) else max(1, len(days))
    for first in range(0, len(days), group):
        some = days[first : first + group]
        with watch.stage("mask_bands"):
            extra = {band: reader.categories(some, band) for band in spec.mask.bands}
        with watch.stage("mask"):
            for day, observation in zip(some, _clear(spec, reader, some, extra), strict=True):
                if observation.any():
                    kept.append(day)
                    clear.append(packed(observation))
    return kept, clear


def _clear(
    spec: CubeSpec, reader: ChunkReader, days: list[SolarDay], extra: Mapping[str, NDArray[Any]]
) -> NDArray[np.bool_]:
    """Ask the mask, check its answer, cut off the halo: bool (day, y, x)."""
    height, width = reader.window.shape
    grid, window = spec.grid, reader.window
    observations = Observations(
        extra,
        days_to_numpy(days),
        grid.latitude(np.arange(window.y0, window.y1)),
        grid.longitude(np.arange(window.x0, window.x1)),
    )
    answer = spec.mask.clear(observations)
    clear: NDArray[np.bool_] = np.asarray(answer)
    if clear.shape != (len(days), height, width) or clear.dtype != bool:
        raise PermanentError(
            f"cloud mask {spec.mask.name} returned {clear.dtype} {clear.shape}; "
            f"it must be bool {(len(days), height, width)}"
        )
    halo = spec.mask.halo
    return clear[:, halo : height - halo, halo : width - halo]


def _process_ends(error: Exception) -> bool:
    """Whether Python refuses further work since it is about to exit: that says nothing about the chunk."""
    return isinstance(error, RuntimeError) and str(error).startswith("cannot schedule new futures after")


def _classify(error: Exception) -> ArdcubeError:
    """Errors of other libraries as ours: of networks, disks and memory transient, anything else permanent."""
    if isinstance(error, ArdcubeError):
        error.args = (without_secrets(str(error)),)
        return error
    text = without_secrets(f"{type(error).__name__}: {error}")
    if isinstance(error, (PermissionError, FileNotFoundError, NotImplementedError)):
        return PermanentError(text)
    if isinstance(error, (OSError, TimeoutError, EOFError)):
        return TransientError(text)
    if isinstance(error, MemoryError):  # other chunks in this process may have ended by the next attempt
        return TransientError(f"{text}; set memory-limit, or choose fewer threads")
    if type(error).__module__.split(".")[0] in NETWORK_LIBRARIES:
        return TransientError(text)
    return PermanentError(text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
