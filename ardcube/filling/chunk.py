"""Fill one chunk: read it and the periods within reach, then write the filled cube."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.clip_grid import GridClip
from ardcube.filling.request import Filling, FillJob
from ardcube.ledger.clip_file import read_clip
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.pixels.composites.protocol import OBSERVATION_COUNT, Layer
from ardcube.pixels.gaps import EMPTY, FILLED, OBSERVED, Gaps
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store.level_reader import LevelReader
from ardcube.store.session_place import SessionPlace
from ardcube.store.transaction import Fork
from ardcube.store.writer import CubeStore

_COUNTED = {"empty": EMPTY, "observed": OBSERVED, "filled": FILLED}
"""Statistics of a chunk: pixels by value of the layer `filled`."""


@dataclass(frozen=True, slots=True)
class OpenFilling:
    """Both cubes of a filling, open; threads share it."""

    filling: Filling
    spec: CubeSpec
    """Spec of the filled cube, whose last arrays are the layers of the filling."""
    reader: LevelReader
    """Arrays of the cube."""
    store: CubeStore
    """Arrays of the filled cube, as the last commit has them."""
    ledger: Ledger
    """Ledger of the filled cube, which is written only while the run holds its lease."""
    middles: Sequence[int]
    """Middle of each period."""
    clip: GridClip | None
    """Geometries that clip the cube; None if it is not clipped."""

    @classmethod
    def open(cls, filling: Filling, spec: CubeSpec, output: Place, ledger: Ledger) -> Self:
        """Open both cubes.

        Parameters
        ----------
        filling : Filling
            Both cubes.
        spec : CubeSpec
            Spec of the filled cube.
        output : Place
            Store of the filled cube, open for writing.
        ledger : Ledger
            Ledger of the filled cube.

        Raises
        ------
        StoreError
            If one of the stores is damaged.
        """
        reader = LevelReader.open(replace(spec, filling=()), 0, filling.place)
        clipped = filling.cube.identity.get("clip")
        clip = GridClip(read_clip(filling.ledger.place, clipped), filling.cube.grid) if clipped else None
        store = CubeStore.open(spec, ledger.fence, output)
        return cls(filling, spec, reader, store, ledger, filling.middles, clip)

    def fill(self, job: FillJob, fork: bytes | None = None) -> tuple[ChunkRecord, bytes | None]:
        """Fill one chunk. At most three chunks of an array are in memory in addition to the result.

        Parameters
        ----------
        job : FillJob
            The chunk.
        fork : bytes, optional
            Session of icechunk that the chunk is written to, from `Transaction.fork`.

        Returns
        -------
        record, changes
            The record, which is written if there is no fork, and the changes of the fork.

        Raises
        ------
        StoreError
            If a chunk of the cube is damaged.
        LeaseLostError
            If the run no longer holds the lease of the filled cube.
        UnwritableError, TransientError
            If a store refuses to read or write, permanently or for a while.
        """
        started, start = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        arrays, index = replace(self.spec, filling=()).arrays, job.time_index
        at = next(number for number, array in enumerate(arrays) if array.layer == OBSERVATION_COUNT)
        gaps = Gaps.find(
            lambda period: self._read(job, at, period),
            index,
            job.window.shape,
            self.filling.method,
            self.filling.most,
        )
        values = [self._filled(job, number, array.layer, gaps) for number, array in enumerate(arrays)]
        session = None if fork is None else Fork(fork)
        store = self.store if session is None else self._of_session(session)
        store.write_chunk(index, job.window, *values, gaps.filled, gaps.distance)
        attempt = Attempt(started, socket.gethostname(), time.perf_counter() - start)
        record = self._record(job, gaps, values[at], attempt)
        if session is not None:
            return record, session.changes()
        self.ledger.write(record)
        return record, None

    def _of_session(self, session: Fork) -> CubeStore:
        return CubeStore.open(self.spec, self.ledger.fence, SessionPlace.of(self.filling.output, session))

    def _record(self, job: FillJob, gaps: Gaps, count: NDArray[Any], attempt: Attempt) -> ChunkRecord:
        inside = None if self.clip is None else self.clip.inside(job.window)
        flags = gaps.filled if inside is None else gaps.filled[inside]
        counts = {name: float(np.count_nonzero(flags == value)) for name, value in _COUNTED.items()}
        size = max(1, flags.size)
        means = {"mean_clear_days": float(count.sum() / size), "observed_share": counts["observed"] / size}
        status: Status = "written" if flags.any() else "empty"
        statistics = {"pixels": flags.size, **means, **counts}
        return ChunkRecord(job.key, status, job.inputs, (attempt,), scenes=job.scenes, statistics=statistics)

    def _filled(self, job: FillJob, number: int, layer: Layer, gaps: Gaps) -> NDArray[Any]:
        """Return an array of the chunk, filled if it is one of reflectance."""
        values, array = self._read(job, number, job.time_index), self.reader.arrays[number]
        if values is None:
            values = np.full((*job.window.shape, *array.shape[3:]), layer.fill, layer.dtype)
        if layer.quantity == "reflectance":
            gaps.fill(
                values,
                lambda period: self._read(job, number, period),
                job.time_index,
                self.middles,
                layer.fill,
            )
        return values

    def _read(self, job: FillJob, number: int, period: int) -> NDArray[Any] | None:
        """Return an array of the tile in a period; None if the tile has no pixels then."""
        return self.reader.read(number, period, job.window) if period in job.readable else None
