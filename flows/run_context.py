"""The context of a flow run: its configuration, its pending chunks, its lease."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ardcube.config import RunConfig
from ardcube.lease.lease import Lease
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.prepare.pending import PendingBuild


@dataclass(frozen=True, slots=True)
class RunContext:
    """A flow run that holds the lease of an initialized cube."""

    run: RunConfig
    pending: PendingBuild
    """The chunks that were missing when the run began, and their cube."""
    lease: Lease
    started: float
    """When the run began, in seconds of `time.perf_counter`."""

    @property
    def selected(self) -> Sequence[ChunkJob]:
        """Missing chunks that this run builds: all of them, or the first `limit`."""
        return self.pending.jobs if self.run.limit is None else self.pending.jobs[: self.run.limit]

    def fenced(self) -> "RunContext":
        """Return a context that writes nothing once another run holds the cube."""
        return replace(self, pending=self.pending.held_by(self.lease.claim.holder))

    def attempts_before(self, key: ChunkKey) -> int:
        """Return the attempts that earlier runs made at a chunk."""
        record = self.pending.records.get(key)
        return 0 if record is None else record.attempt_count

    def is_new(self, record: ChunkRecord) -> bool:
        """Return whether a record was written since the run began."""
        before = self.pending.records.get(record.key)
        return before is None or before.attempts != record.attempts
