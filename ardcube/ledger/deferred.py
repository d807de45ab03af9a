"""A ledger whose records of finished chunks wait until their pixels are committed."""

from __future__ import annotations

from collections.abc import Iterable

from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.planning.jobs import ChunkKey


class DeferredLedger(Ledger):
    """Keeps records of finished chunks in memory. Records of failed chunks are written at once.

    Parameters
    ----------
    ledger : Ledger
        The ledger that is read, and that gets the records of failed chunks.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.place, ledger.fence)
        self._finished: dict[ChunkKey, ChunkRecord] = {}

    def write(self, record: ChunkRecord) -> None:
        """Keep the record of a finished chunk; write that of a failed one."""
        if record.status in DONE:
            self._finished[record.key] = record
        else:
            super().write(record)

    def read(self, key: ChunkKey) -> ChunkRecord | None:
        """Return the record of a chunk that is kept, or the one in its file."""
        return self._finished.get(key) or super().read(key)

    def read_each(self, keys: Iterable[ChunkKey]) -> dict[ChunkKey, ChunkRecord]:
        """Return the records of chunks that are kept, or in files; missing ones are left out."""
        keys = list(keys)
        return super().read_each(keys) | {key: self._finished[key] for key in keys if key in self._finished}
