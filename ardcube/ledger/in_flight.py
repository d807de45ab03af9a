"""Keep a file of the chunks that the flow's own process builds.

One of them may kill the process. The scheduler notices when a worker process ends. Threads of the flow's own process
end together with the flow, and no process is left to report it. So the keys of the chunks in flight are written to a
file before they are built, and removed when the run ends, however it ends. A file that the next run finds means that
the process was killed, perhaps by one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place

NAME = "in-hand.json"
"""Name of the file. It is part of the on-disk format, so it keeps its first name."""


class InFlightFile:
    """The file that lists the chunks in flight of the run that holds a cube.

    Parameters
    ----------
    ledger : Place
        Folder of the ledger.

    Attributes
    ----------
    suspects : frozenset of ChunkKey
        Chunks that were in flight when the process of a run was killed, and that no run has built since.
    """

    def __init__(self, ledger: Place) -> None:
        self._ledger = ledger
        self.suspects = self._read()

    def write(self, in_flight: Iterable[ChunkKey]) -> None:
        """Write the keys of all chunks in flight, and of the suspects."""
        self._write(self.suspects.union(in_flight))

    def clear(self) -> None:
        """Record that no chunk is in flight; suspects remain suspects."""
        with suppress(Exception):  # the run's own error matters more; a file that stays costs the next run seconds
            if self.suspects:
                self._write(self.suspects)
            else:
                self._ledger.remove([NAME])

    def suspect_only(self, keys: Iterable[ChunkKey]) -> None:
        """Replace the suspects; no chunk is in flight."""
        self.suspects = frozenset(keys)
        self.clear()

    def _read(self) -> frozenset[ChunkKey]:
        with suppress(ValueError, TypeError):  # a damaged file counts as none
            keys = json.loads(self._ledger.read(NAME) or b"[]")
            return frozenset(ChunkKey(str(period), int(row), int(col)) for period, row, col in keys)
        return frozenset()

    def _write(self, keys: Iterable[ChunkKey]) -> None:
        self._ledger.write(NAME, json.dumps([(key.period, key.row, key.col) for key in sorted(keys, key=str)]).encode())
