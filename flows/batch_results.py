"""Collect the results of batches.

Chunks are reported, their records are merged, and chunks whose worker was lost are kept for recovery.
"""

from distributed.scheduler import KilledWorker

from ardcube.chunk.batch import Batch
from ardcube.errors import RunStopsError
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.prepare.finished import FinishedChunks
from flows.map_chunks import BatchFuture
from flows.progress import current_progress
from flows.run_context import RunContext


class BatchResults:
    """Results of the batches of a run.

    Attributes
    ----------
    lost : list of ChunkJob
        Chunks without a new record: their worker died, or the task failed outside the chunk.
    failed_outside : bool
        Whether a batch failed without recording all its chunks, although no worker died. The caller resets it.
    fork : callable
        Return the session that the chunks of the next batch are written to; None for a plain store.
    worker_deaths : dict
        Worker processes that died while they held a chunk, by chunk.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._finished = FinishedChunks(context.pending.ledger, context.pending.transaction)
        self.fork = self._finished.fork
        self.lost: list[ChunkJob] = []
        self.failed_outside = False
        self.worker_deaths: dict[ChunkKey, int] = {}

    def take_lost(self) -> list[ChunkJob]:
        """Return the lost chunks, and forget them."""
        lost, self.lost = self.lost, []
        return lost

    def collect(self, batch: Batch, future: BatchFuture) -> list[ChunkRecord]:
        """Report the chunks of a completed batch; return their new records.

        Raises
        ------
        RunStopsError
            If another run holds the cube by now, or the store accepts no more writes.
        """
        ledger, progress = self._context.pending.ledger, current_progress()
        lost_before, failed, changes = len(self.lost), False, None
        try:
            built = future.result()
            records, changes = {record.key: record for record in built.records}, built.changes
        except RunStopsError:
            raise
        except KilledWorker as error:
            self.worker_deaths |= {job.key: error.allowed_failures + 1 for job in batch.jobs}
            records = ledger.read_each(job.key for job in batch.jobs)
        except Exception:  # noqa: BLE001  (the task failed, or its worker died: the ledger has the records)
            failed = True
            records = ledger.read_each(job.key for job in batch.jobs)
        new = []
        for job in batch.jobs:
            record = records.get(job.key)
            if record is None or not self._context.is_new(record):
                self.lost.append(job)
            else:
                new.append(record)
                progress.chunk_ended(job, record)
        self.failed_outside |= failed and len(self.lost) > lost_before
        progress.batch_ended()
        self._finished.add(new, changes)
        return new

    def flush(self) -> None:
        """Commit the pixels of all chunks so far, and merge their records."""
        self._finished.flush()
