"""Build several chunks one after another; each succeeds or fails by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import OpenCube, open_cube
from ardcube.errors import PermanentError, RunStopsError, TransientError
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.estimate import share_memory
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubeSpec
from ardcube.runtime.log_context import log_chunk
from ardcube.runtime.same_version import installed_version, other_version
from ardcube.runtime.threads import turns

_MOST_NAMED = 10
"""Chunks that an error names."""


class Batch:
    """Chunks that a worker builds in one task run.

    Neither a dataclass nor a tuple, because Prefect and Dask would search each field of each job for futures, which
    takes longer than sending the batch.
    """

    __slots__ = ("fork", "forked", "jobs", "spec", "version")

    def __init__(self, spec: CubeSpec, jobs: tuple[ChunkJob, ...], fork: bytes | None = None) -> None:
        self.spec = spec
        self.jobs = jobs
        self.fork = fork
        """Session that the chunks are written to, if the cube is stored by icechunk."""
        self.forked: Any = None
        """`ForkedBatch` of the process that builds the chunks, kept for further attempts."""
        self.version = installed_version()
        """Version of this package in the flow."""

    def check_version(self, worker: str) -> None:
        """Raise PermanentError if a worker has another version of this package than the flow."""
        if problem := other_version(self.version):
            raise PermanentError(f"worker {worker}: {problem}")

    def __dask_tokenize__(self) -> str:
        """Return a unique token, because two task runs of the same chunks are two pieces of work."""
        return uuid.uuid4().hex


class Built:
    """Records of a batch, and the changes of the store that are not committed yet."""

    __slots__ = ("changes", "records")

    def __init__(self, records: Sequence[ChunkRecord], changes: bytes | None = None) -> None:
        self.records = records
        self.changes = changes


@contextmanager
def sharing_memory(spec: CubeSpec, threads: int) -> Iterator[CubeSpec]:
    """Yield the spec with the memory that one thread of this process has; wait if there is too little for all.

    Parameters
    ----------
    spec : CubeSpec
        What every chunk of the cube has in common.
    threads : int
        Threads of this process that build batches.
    """
    shared, at_once = share_memory(spec, threads)
    with turns(at_once) if at_once < threads else nullcontext():
        yield shared


def process_batch(
    spec: CubeSpec,
    jobs: Sequence[ChunkJob],
    *,
    again: bool = False,
    last: bool = False,
    cube: OpenCube | None = None,
) -> list[ChunkRecord]:
    """Build chunks one after another; a chunk that fails does not stop the others.

    Parameters
    ----------
    spec : CubeSpec
        What every chunk of the cube has in common.
    jobs : sequence of ChunkJob
        Chunks to build.
    again : bool
        Whether this repeats a batch. Chunks with a permanent error are then not built again.
    last : bool
        Whether this is the last attempt.
    cube : OpenCube, optional
        Cube with another place of its store. Default: the one that this process has opened for the spec.

    Returns
    -------
    list of ChunkRecord
        One record per job.

    Raises
    ------
    RunStopsError
        At once, if no further chunk can be written.
    TransientError
        At the end, if a chunk failed with a transient error; a repeated batch skips chunks that are done.
    PermanentError
        At the end, if all failed chunks have permanent errors.
    """
    cube = cube or open_cube(spec)
    records: list[ChunkRecord] = []
    transient: list[str] = []
    permanent: list[str] = []
    known = cube.ledger.read_each(job.key for job in jobs) if again else {}
    for job in jobs:
        before = known.get(job.key)
        if before is not None and before.is_done(job, spec.skip_bad_scenes):
            records.append(before)
            continue
        if before is not None and before.failed_permanently:
            permanent.append(f"{job.key}: {before.error}")
            continue
        try:
            with log_chunk(str(job.key)):
                records.append(process_chunk(cube, job, last=last))
        except RunStopsError:
            raise  # every other chunk would fail in the same way
        except TransientError as error:
            transient.append(f"{job.key}: {error}")
        except PermanentError as error:
            permanent.append(f"{job.key}: {error}")
    if transient:
        raise TransientError(_first_messages(transient + permanent))
    if permanent:
        raise PermanentError(_first_messages(permanent))
    return records


def _first_messages(messages: Sequence[str]) -> str:
    """Join the first messages; the ledger has all of them, and Prefect shows one line."""
    more = len(messages) - _MOST_NAMED
    return "; ".join(messages[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
