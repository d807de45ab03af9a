"""Collect the numbers of all chunks from their records, as arrays, and their sums by period (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ardcube.extent.grid import Tiles
from ardcube.ledger.observed import Observed
from ardcube.ledger.record import ChunkRecord
from ardcube.report.causes import LOST_WORKER
from ardcube.report.state_map import chunk_states
from ardcube.report.wording import short

_MOST_ERRORS = 200
"""Different errors that are stored word for word."""
_OTHER_ERROR = "another error; ardcube status --chunks lists it"


@dataclass(slots=True)
class PeriodSums:
    """Sums over the chunks of a period."""

    observed: Observed = field(default_factory=Observed)
    seconds: float = 0.0
    """Seconds of all attempts."""
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class ChunkNumbers:
    """Numbers of each chunk, (period, row, col); NaN where no run has built it."""

    states: NDArray[np.uint8]
    """States of `ardcube.report.state_map`."""
    scenes: NDArray[np.float32]
    """Scenes in the composite."""
    clear_days: NDArray[np.float32]
    """Mean number of clear days of a pixel."""
    seconds: NDArray[np.float32]
    """Seconds of all attempts."""
    attempts: NDArray[np.float32]
    error: NDArray[np.int32]
    """Position of the error of a failed chunk in `errors`, or -1."""
    errors: tuple[str, ...]
    periods: tuple[PeriodSums, ...]
    """Sums by period."""
    stages: dict[str, float]
    """Seconds by stage, of all chunks."""

    @classmethod
    def of(cls, periods: Sequence[str], tiles: Tiles, records: Iterable[ChunkRecord]) -> ChunkNumbers:
        """Collect the numbers of a cube in one pass, because 100,000 records take 300 MB.

        Parameters
        ----------
        periods : sequence of str
            Labels, sorted by time.
        tiles : Tiles
            Tiles that are built.
        records : iterable of ChunkRecord
            Records with statistics, in any order. Those of other tiles or periods are ignored.
        """
        pixels = np.zeros(tiles.grid.tile_counts(tiles.size), np.int64)
        pixels[tiles.rows, tiles.cols] = tiles.pixels
        index, shape = {label: number for number, label in enumerate(periods)}, (len(periods), *pixels.shape)
        scenes, clear_days, seconds, attempts = (np.full(shape, np.nan, np.float32) for _ in range(4))
        error = np.full(shape, -1, np.int32)
        errors, sums, stages = dict[str, int](), tuple(PeriodSums() for _ in periods), Counter[str]()

        def add(record: ChunkRecord) -> ChunkRecord:
            if not _is_inside(record, index, pixels):
                return record
            at = (index[record.key.period], record.key.row, record.key.col)
            taken = sum(attempt.seconds for attempt in record.attempts)
            seconds[at], attempts[at] = taken, record.attempt_count
            total = sums[at[0]]
            total.seconds += taken
            total.bytes_read += record.byte_counts.get("read", 0)
            stages.update(record.seconds)
            total.observed.add(record, int(pixels[at[1:]]))
            if record.status == "failed":
                text = short((record.failure and record.failure.error) or LOST_WORKER)
                error[at] = _position(errors, text)
            else:
                scenes[at] = len(record.scenes)
                clear_days[at] = record.statistics.get("mean_clear_days", np.nan)
            return record

        states = chunk_states(periods, tiles, map(add, records))
        return cls(states, scenes, clear_days, seconds, attempts, error, tuple(errors), sums, dict(stages))


def _is_inside(record: ChunkRecord, periods: Mapping[str, int], pixels: NDArray[np.int64]) -> bool:
    """Return whether a record is of a planned tile and period."""
    key, (rows, cols) = record.key, pixels.shape
    return key.period in periods and key.row < rows and key.col < cols and bool(pixels[key.row, key.col])


def _position(errors: dict[str, int], text: str) -> int:
    """Return the position of an error, which is added if it is new and there are few."""
    if text not in errors and len(errors) >= _MOST_ERRORS:
        text = _OTHER_ERROR
    return errors.setdefault(text, len(errors))
