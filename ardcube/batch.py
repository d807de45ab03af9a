"""Several chunks in one go, each with an end of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.errors import PermanentError, TransientError
from ardcube.ledger import ChunkRecord, Ledger
from ardcube.plan import ChunkJob, CubeSpec
from ardcube.process import process_chunk


def process_batch(spec: CubeSpec, jobs: Sequence[ChunkJob], *, again: bool = False) -> list[ChunkRecord]:
    """Build chunks one after another; one that fails does not stop the others.

    Parameters
    ----------
    spec : CubeSpec
        Of the cube.
    jobs : sequence of ChunkJob
        To build.
    again : bool
        Whether this repeats a batch: chunks that failed for good are then left as they are.

    Returns
    -------
    list of ChunkRecord
        One per job.

    Raises
    ------
    TransientError
        At the end, if a chunk failed for a reason that may pass: repeat the batch, done chunks are skipped.
    PermanentError
        At the end, if chunks failed for good.
    """
    records: list[ChunkRecord] = []
    passing: list[str] = []
    lasting: list[str] = []
    ledger = Ledger.at(spec.ledger_uri, spec.storage_options)
    for job in jobs:
        before = ledger.read(job.key) if again else None
        if before is not None and before.failed_for_good:
            lasting.append(f"{job.key}: {before.error}")
            continue
        try:
            records.append(process_chunk(spec, job))
        except TransientError as error:
            passing.append(f"{job.key}: {error}")
        except PermanentError as error:
            lasting.append(f"{job.key}: {error}")
    if passing:
        raise TransientError("; ".join(passing + lasting))
    if lasting:
        raise PermanentError("; ".join(lasting))
    return records
