"""Copy chunks of a cube into a cube of another layout, with their records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.chunk.batch import Built
from ardcube.chunk.forked import ForkedBatch
from ardcube.chunk.open_cube import OpenCube
from ardcube.extent.window import Window
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store.level_reader import LevelReader


class ChunkCopies:
    """Copies chunks between two cubes that differ in nothing but their layout.

    Parameters
    ----------
    source : CubeSpec
        Cube that is read.
    store : Place
        Store of this cube.
    target : CubeSpec
        Cube that is written while the run holds its lease.
    records : mapping
        Records of the source.
    """

    def __init__(
        self, source: CubeSpec, store: Place, target: CubeSpec, records: Mapping[ChunkKey, ChunkRecord]
    ) -> None:
        self._spec = source
        self._reader = LevelReader.open(source, 0, store)
        self._target = OpenCube(target)
        self._records = records

    def copy(self, job: ChunkJob, fork: bytes | None = None) -> Built:
        """Copy the pixels of a chunk, then its record; into a fork of icechunk only the pixels."""
        values = self._variables(job.time_index, job.window)
        parts = [array.part_of(values[array.layer.name]) for array in self._target.spec.arrays]
        record = self._records[job.key]
        if fork is None:
            self._target.store.write_chunk(job.time_index, job.window, *parts)
            self._target.ledger.write(record)
            return Built([record])
        forked = ForkedBatch(fork)
        forked.open(self._target).store.write_chunk(job.time_index, job.window, *parts)
        return Built([record], forked.changes())

    def _variables(self, time_index: int, window: Window) -> dict[str, NDArray[Any]]:
        """Return the values of each variable, (y, x, band) or (y, x)."""
        found: dict[str, NDArray[Any]] = {}
        bands: dict[str, list[NDArray[Any]]] = {}
        for number, array in enumerate(self._spec.arrays):
            values = self._reader.read(number, time_index, window)
            if array.position is None:
                found[array.layer.name] = values
            else:
                bands.setdefault(array.layer.name, []).append(values)
        return found | {name: np.stack(parts, axis=-1) for name, parts in bands.items()}
