"""Fill one chunk: read it and the periods within reach, write the filled cube, then the record."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.extent.clip_grid import GridClip
from ardcube.filling.output import is_filled, layer_names
from ardcube.filling.request import Filling, FillJob
from ardcube.ledger.clip_file import read_clip
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.pixels.gaps import EMPTY, FILLED, OBSERVED, Gaps
from ardcube.storage.failures import explained
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.schema import COUNT
from ardcube.store.validate import damage_as_store_error
from ardcube.store.writer import CubeStore

_COUNTED = {"empty": EMPTY, "observed": OBSERVED, "filled": FILLED}
"""Statistics of a chunk: pixels by value of the layer `filled`."""


@dataclass(frozen=True, slots=True)
class OpenFilling:
    """Both cubes of a filling, open; threads share it."""

    filling: Filling
    arrays: Mapping[str, zarr.Array[Any]]
    """Variables of the cube that have pixels; the count is the last."""
    store: CubeStore
    ledger: Ledger
    """Ledger of the filled cube, which is written only while the run holds its lease."""
    middles: Sequence[int]
    """Middle of each period."""
    clip: GridClip | None
    """Geometries that clip the cube; None if it is not clipped."""

    @classmethod
    def open(cls, filling: Filling, variables: Sequence[str], ledger: Ledger) -> Self:
        """Open both cubes.

        Raises
        ------
        StoreError
            If one of the stores is damaged.
        """
        place, output = filling.place, filling.output
        with explained(place.uri), damage_as_store_error(place.uri), checked_codecs():
            group = zarr.open_group(zarr_store(place), mode="r", zarr_format=3)
            arrays = {name: array_of(group, name) for name in variables}
        store = CubeStore.open_arrays(output, layer_names(variables), arrays[COUNT].shape, ledger.fence)
        clipped = filling.cube.identity.get("clip")
        clip = GridClip(read_clip(filling.ledger.place, clipped), filling.cube.grid) if clipped else None
        return cls(filling, arrays, store, ledger, filling.middles, clip)

    def fill(self, job: FillJob) -> ChunkRecord:
        """Fill one chunk and record it. At most three chunks of a variable are in memory in addition to the result.

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
        place, index = self.filling.place, job.time_index
        with explained(place.uri), damage_as_store_error(place.uri):
            gaps = Gaps.find(
                lambda period: self._read(job, COUNT, period),
                index,
                job.window.shape,
                self.filling.method,
                self.filling.most,
            )
            layers = [self._filled(job, name, gaps) for name in self.arrays if name != COUNT]
            count = self._own(job, COUNT)
        self.store.write_chunk(index, job.window, *layers, gaps.filled, gaps.distance, count)
        inside = None if self.clip is None else self.clip.inside(job.window)
        flags = gaps.filled if inside is None else gaps.filled[inside]
        counts = {name: float(np.count_nonzero(flags == value)) for name, value in _COUNTED.items()}
        size = max(1, flags.size)
        means = {"mean_clear_days": float(count.sum() / size), "observed_share": counts["observed"] / size}
        attempt = Attempt(started, socket.gethostname(), time.perf_counter() - start)
        status: Status = "written" if flags.any() else "empty"
        statistics = {"pixels": flags.size, **means, **counts}
        record = ChunkRecord(job.key, status, job.inputs, (attempt,), scenes=job.scenes, statistics=statistics)
        self.ledger.write(record)
        return record

    def _filled(self, job: FillJob, name: str, gaps: Gaps) -> NDArray[Any]:
        """Return a variable of the chunk, filled if it is one of reflectance."""
        values, array = self._own(job, name), self.arrays[name]
        if is_filled(array):
            gaps.fill(
                values,
                lambda period: self._read(job, name, period),
                job.time_index,
                self.middles,
                array.fill_value,
            )
        return values

    def _own(self, job: FillJob, name: str) -> NDArray[Any]:
        values, array = self._read(job, name, job.time_index), self.arrays[name]
        return (
            np.full((*job.window.shape, *array.shape[3:]), array.fill_value, array.dtype) if values is None else values
        )

    def _read(self, job: FillJob, name: str, period: int) -> NDArray[Any] | None:
        """Return a variable of the tile in a period; None if the tile has no pixels then."""
        if period not in job.readable:
            return None
        values: NDArray[Any] = np.asarray(self.arrays[name][(period, *job.window.slices)])
        return values
