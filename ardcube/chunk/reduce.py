"""Build a chunk of a level of the pyramid from the pixels below it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.open_cube import OpenCube
from ardcube.chunk.stage_timer import StageTimer
from ardcube.extent.window import Window
from ardcube.ledger.record import ChunkRecord
from ardcube.pixels.halve import halve_mean, halve_nearest
from ardcube.planning.arrays import StoredArray
from ardcube.planning.jobs import ChunkJob
from ardcube.runtime.usage import count_unknown
from ardcube.store.writer import has_values


def reduce_chunk(cube: OpenCube, job: ChunkJob) -> ChunkRecord:
    """Halve the pixels below a chunk and write them, array by array; return the record without its attempts.

    In memory are one array of the chunk, and of the pixels below it as many rows as a chunk has.

    Parameters
    ----------
    cube : OpenCube
        Cube whose spec is that of the level.
    job : ChunkJob
        Chunk of the level.
    """
    timer, counts, observed = StageTimer(), {"read": 0, "written": 0}, False
    for number, array in enumerate(cube.spec.arrays):
        layer = array.layer
        values = np.empty(job.window.shape, layer.dtype)
        for part in _strips(job.window, cube.below.arrays[number].chunks[1]):
            with timer.stage("read"):
                below = cube.below.read(number, job.time_index, _below(part))
                count_unknown()
            with timer.stage("reduce"):
                rows, cols = part.relative_to(job.window).slices
                values[rows, cols] = _halved(below, array)
            counts["read"] += below.nbytes
        with timer.stage("write"):
            cube.store.write(number, job.time_index, job.window, values)
        counts["written"] += values.nbytes
        observed |= has_values(values, layer.fill)
    return ChunkRecord(
        key=job.key,
        status="written" if observed else "empty",
        inputs=job.inputs,
        attempts=(),
        seconds={name: round(value, 4) for name, value in timer.seconds.items()},
        byte_counts=counts,
    )


def _halved(values: NDArray[np.generic], array: StoredArray) -> NDArray[np.generic]:
    return halve_mean(values, array.layer.fill) if array.layer.is_averaged else halve_nearest(values)


def _strips(window: Window, chunk_rows: int) -> Iterator[Window]:
    """Partition a window into strips above one row of chunks each, so that no chunk is decoded twice."""
    step = max(1, chunk_rows // 2)
    for y0 in range(window.y0, window.y1, step):
        yield Window(y0, min(y0 + step, window.y1), window.x0, window.x1)


def _below(window: Window) -> Window:
    return Window(2 * window.y0, 2 * window.y1, 2 * window.x0, 2 * window.x1)
