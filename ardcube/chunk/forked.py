"""Build chunks into the fork of a session, whose changes and records go back to the flow, which commits them."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.chunk.batch import Batch, Built, process_batch
from ardcube.chunk.open_cube import OpenCube, open_cube
from ardcube.errors import PermanentError, RunStopsError, TransientError
from ardcube.ledger.deferred import DeferredLedger
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store.session_place import SessionPlace
from ardcube.store.transaction import Fork


def build_batch(batch: Batch, spec: CubeSpec, *, again: bool, last: bool) -> Built:
    """Build a batch as `process_batch` does, or as `ForkedBatch.process` if it has a fork.

    Parameters
    ----------
    batch : Batch
        The batch.
    spec : CubeSpec
        Its spec with the memory that this process has.
    again : bool
        Whether this repeats the batch.
    last : bool
        Whether this is the last attempt.
    """
    if batch.fork is None:
        return Built(process_batch(spec, batch.jobs, again=again, last=last))
    if batch.forked is None:
        batch.forked = ForkedBatch(batch.fork)
    built: Built = batch.forked.process(spec, batch.jobs, again=again, last=last)
    return built


class ForkedBatch:
    """Chunks that are built into one fork, in one or several attempts of the same process.

    Parameters
    ----------
    content : bytes
        Result of `Transaction.fork`.
    """

    def __init__(self, content: bytes) -> None:
        self._fork = Fork(content)
        self._ledger: DeferredLedger | None = None

    def process(self, spec: CubeSpec, jobs: Sequence[ChunkJob], *, again: bool, last: bool) -> Built:
        """Build chunks as `process_batch` does; a chunk that failed does not discard the others.

        Returns
        -------
        Built
            Records of chunks that are built, or failed after the last attempt, and the changes of the store.

        Raises
        ------
        RunStopsError
            At once, if no further chunk can be written.
        TransientError
            If a chunk failed with a transient error, before the last attempt. Chunks that are built are kept.
        """
        cube = self.open(open_cube(spec))
        try:
            records = process_batch(spec, jobs, again=again, last=last, cube=cube)
        except RunStopsError:
            raise
        except (PermanentError, TransientError) as error:
            if isinstance(error, TransientError) and not last:
                raise
            records = list(cube.ledger.read_each(job.key for job in jobs).values())
        return Built(records, self.changes())

    def changes(self) -> bytes:
        """Return the changes of the store."""
        return self._fork.changes()

    def open(self, known: OpenCube) -> OpenCube:
        """Return a cube that reads and writes the fork."""
        spec = known.spec
        self._ledger = self._ledger or DeferredLedger(known.ledger)
        place = Place.at(spec.store_uri, spec.storage_options).waiting(spec.patience)
        return known.stored_in(SessionPlace.of(place, self._fork), self._ledger)
