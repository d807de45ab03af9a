"""Which chunks this very process is at work on, kept beside the store: one of them may have been the end of it.

A worker that dies of a chunk is seen by its scheduler. Threads of the flow's own process take the flow with them, and
nobody is left to tell. So what they have in hand is written down before, and taken back however the run ends; where
the next run finds some, the process was killed, maybe by one of these chunks.
"""

import json
from collections.abc import Iterable
from contextlib import suppress

from ardcube.plan.jobs import ChunkJob, ChunkKey
from ardcube.storage.place import Place

NAME = "in-hand.json"


class InHand:
    """The chunks in hand of the run that holds a cube.

    Parameters
    ----------
    ledger : Place
        Folder beside the store.

    Attributes
    ----------
    suspects : frozenset of ChunkKey
        Chunks that some run had in hand when its process was killed, and that none has built since.
    """

    def __init__(self, ledger: Place) -> None:
        self._ledger = ledger
        self.suspects = self._left()

    def take(self, jobs: Iterable[ChunkJob]) -> None:
        """Write down all that is in hand now."""
        self._write(self.suspects.union(job.key for job in jobs))

    def put_down(self) -> None:
        """Nothing is in hand any more; suspects stay suspects."""
        with suppress(Exception):  # how the run ended matters more, and what is left here costs the next one seconds
            if self.suspects:
                self._write(self.suspects)
            else:
                self._ledger.remove([NAME])

    def suspect_only(self, keys: Iterable[ChunkKey]) -> None:
        """Suspect nothing else any more."""
        self.suspects = frozenset(keys)
        self.put_down()

    def _left(self) -> frozenset[ChunkKey]:
        with suppress(ValueError, TypeError):  # damaged, it counts as none
            keys = json.loads(self._ledger.read(NAME) or b"[]")
            return frozenset(ChunkKey(str(period), int(row), int(col)) for period, row, col in keys)
        return frozenset()

    def _write(self, keys: Iterable[ChunkKey]) -> None:
        self._ledger.write(NAME, json.dumps([(key.period, key.row, key.col) for key in sorted(keys, key=str)]).encode())
