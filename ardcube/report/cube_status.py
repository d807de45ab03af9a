"""Count the chunks of a cube that are due, and name the run that writes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ardcube.lease.holder import Holder
from ardcube.ledger.last_plan import Planned
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.storage.failures import explained


@dataclass(frozen=True, slots=True)
class CubeStatus:
    """The state of a cube at one moment."""

    chunks: int
    """Chunks that the last build planned, in earlier periods too."""
    failed: int
    missing: int
    """Planned chunks without a record: no run has built them."""
    holder: Holder | None
    """The run that holds the lease."""

    @classmethod
    def take(cls, ledger: Ledger, planned: Planned, records: Iterable[ChunkRecord]) -> Self:
        """Return the state of a cube, from its last plan and the records of its chunks.

        Raises
        ------
        TransientError
            If the store does not answer.
        """
        cells = set(zip(planned.tiles.rows.tolist(), planned.tiles.cols.tolist(), strict=True))
        chunks = len(cells) * len(planned.manifests)
        known = failed = 0
        for record in records:
            key = record.key
            known += (key.row, key.col) in cells and key.period in planned.manifests
            failed += record.status == "failed"
        with explained(ledger.place.uri):
            return cls(chunks, failed, chunks - known, Holder.read(ledger.place))

    @property
    def due(self) -> int:
        """Number of chunks that the next run builds."""
        return self.failed + self.missing

    def __str__(self) -> str:
        counts = [(self.failed, "failed"), (self.missing, "never built")]
        named = ", ".join(f"{count} {name}" for count, name in counts if count)
        return f"{self.due} of {self.chunks} chunks: {named}" if named else f"none of {self.chunks} chunks"
