"""Several chunks in one go, each with an end of its own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from ardcube.chunk.build import process_chunk
from ardcube.errors import PermanentError, RunStopsError, TransientError
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.plan.jobs import ChunkJob
from ardcube.plan.plan import CubeSpec
from ardcube.runtime.log_context import at_work_on

_SHOWN = 10
"""Chunks that an error names."""


class Batch:
    """Chunks that a worker gets together.

    No dataclass, nor a tuple: Prefect looks for futures, and Dask for a name, in each field of each job of such, four
    times over, which takes longer than sending it.
    """

    __slots__ = ("jobs", "spec")

    def __init__(self, spec: CubeSpec, jobs: tuple[ChunkJob, ...]) -> None:
        self.spec = spec
        self.jobs = jobs

    def __dask_tokenize__(self) -> str:
        """Two task runs are never the same work, whatever they build."""
        return uuid.uuid4().hex

    @property
    def label(self) -> str:
        """First and last chunk."""
        first, last = str(self.jobs[0].key), str(self.jobs[-1].key)
        return first if len(self.jobs) == 1 else f"{first}..{last}"


def process_batch(
    spec: CubeSpec, jobs: Sequence[ChunkJob], *, again: bool = False, last: bool = False
) -> list[ChunkRecord]:
    """Build chunks one after another; one that fails does not stop the others.

    Parameters
    ----------
    spec : CubeSpec
        Of the cube.
    jobs : sequence of ChunkJob
        To build.
    again : bool
        Whether this repeats a batch: chunks that failed for good are then left as they are.
    last : bool
        Whether it is not repeated any more.

    Returns
    -------
    list of ChunkRecord
        One per job.

    Raises
    ------
    RunStopsError
        At once, if no further chunk can be written.
    TransientError
        At the end, if a chunk failed for a reason that may pass: repeat the batch, done chunks are skipped.
    PermanentError
        At the end, if chunks failed for good.
    """
    records: list[ChunkRecord] = []
    passing: list[str] = []
    lasting: list[str] = []
    ledger = Ledger.at(spec.ledger_uri, spec.storage_options)
    known = ledger.read_each(job.key for job in jobs) if again else {}
    for job in jobs:
        before = known.get(job.key)
        if before is not None and before.is_done(job, spec.skip_bad_scenes):
            records.append(before)
            continue
        if before is not None and before.failed_for_good:
            lasting.append(f"{job.key}: {before.error}")
            continue
        try:
            with at_work_on(str(job.key)):
                records.append(process_chunk(spec, job, last=last))
        except RunStopsError:
            raise  # the others would take as long, and end the same way
        except TransientError as error:
            passing.append(f"{job.key}: {error}")
        except PermanentError as error:
            lasting.append(f"{job.key}: {error}")
    if passing:
        raise TransientError(_some(passing + lasting))
    if lasting:
        raise PermanentError(_some(lasting))
    return records


def _some(messages: Sequence[str]) -> str:
    """The first messages: the ledger has them all, and Prefect shows them in one line."""
    more = len(messages) - _SHOWN
    return "; ".join(messages[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
