"""A cube and the state of its chunks at one moment: what pages and previews show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ardcube.ledger.last_plan import read_planned
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.causes import Cause, CauseCounter
from ardcube.report.state_map import chunk_states
from ardcube.storage.place import Place


@dataclass(frozen=True, slots=True)
class CubeSnapshot:
    """A cube and the state of its chunks at one moment."""

    place: Place
    """Location of the store."""
    options: dict[str, Any]
    """Options of its filesystem."""
    cube: StoredCube
    states: NDArray[np.uint8]
    """State of each chunk, uint8 (period, row, col), from `ardcube.report.state_map`."""
    causes: tuple[Cause, ...] = ()
    """Causes of the chunks that failed."""

    @classmethod
    def take(
        cls, place: Place, options: dict[str, Any], ledger: Ledger, records: Iterable[ChunkRecord] | None = None
    ) -> Self | None:
        """Read a cube and its plan; None if no build has stored a plan.

        Parameters
        ----------
        place, options : Place, dict
            Location of the store, and options of its filesystem.
        ledger : Ledger
            Ledger of the cube.
        records : iterable of ChunkRecord, optional
            Records of the chunks; by default they are read from the ledger.

        Raises
        ------
        StoreError
            If the ledger is damaged.
        """
        cube = StoredCube.read(ledger)
        planned = None if cube is None else read_planned(ledger, cube.grid, cube.config.tile_size)
        if cube is None or planned is None:
            return None
        if records is None:
            records = ledger.records(brief=True).values()
        causes = CauseCounter()
        states = chunk_states([period.label for period in cube.periods], planned.tiles, _counted(records, causes))
        return cls(place, options, cube, states, causes.causes())


def _counted(records: Iterable[ChunkRecord], causes: CauseCounter) -> Iterator[ChunkRecord]:
    """Yield records and count the causes of failures, in one pass, because a million records are not kept."""
    for record in records:
        if record.status == "failed":
            causes.add(record.key, record.failure)
        yield record
