"""Merge the records of finished chunks while a run goes on; with icechunk, commit their pixels first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ardcube.ledger.ledger import RECORDS_PER_FILE, Ledger
from ardcube.ledger.record import DONE, ChunkRecord

if TYPE_CHECKING:
    from ardcube.store.transaction import Transaction

COMMIT_SECONDS = 5.0
"""Seconds between two commits of a run. The next run builds the chunks after the last one again."""


class FinishedChunks:
    """Chunks whose records are not merged yet.

    Parameters
    ----------
    ledger : Ledger
        Ledger of the cube, or of a level.
    transaction : Transaction, optional
        Changes of a cube with the storage backend icechunk.
    """

    def __init__(self, ledger: Ledger, transaction: Transaction | None) -> None:
        self._ledger = ledger
        self._transaction = transaction
        self._records: list[ChunkRecord] = []
        self._committed = time.monotonic()

    def fork(self) -> bytes | None:
        """Return the session that the next chunks are written to; None for a plain store."""
        return None if self._transaction is None else self._transaction.fork()

    def add(self, records: Sequence[ChunkRecord], changes: bytes | None = None) -> None:
        """Add records of chunks, and the changes of the store that a worker returned with them.

        Raises
        ------
        LeaseLostError
            If the records are due to be merged, and another run holds the cube by now.
        """
        self._records += records
        if self._transaction is None:
            if len(self._records) >= RECORDS_PER_FILE:
                self._merge()
            return
        if changes is not None:
            self._transaction.merge(changes, sum(record.status in DONE for record in records))
        if time.monotonic() - self._committed >= COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit pixels and merge their records; in a plain store, both are in place."""
        if self._transaction is None:
            return
        if self._ledger.fence is not None:
            self._ledger.fence.check()
        self._transaction.commit(f"build {len(self._records)} chunks")
        self._merge()
        self._committed = time.monotonic()

    def _merge(self) -> None:
        self._ledger.merge(self._records)
        self._records = []
