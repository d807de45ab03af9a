"""Several chunks in one go, each with an end of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.errors import PermanentError, TransientError
from ardcube.ledger import ChunkRecord
from ardcube.plan import ChunkJob, CubeSpec
from ardcube.process import process_chunk


def process_batch(spec: CubeSpec, jobs: Sequence[ChunkJob]) -> list[ChunkRecord]:
    """Build chunks one after another; one that fails does not stop the others.

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
    for job in jobs:
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
