"""The task that builds chunks."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from ardcube.batch import process_batch
from ardcube.ledger import ChunkRecord
from ardcube.plan import ChunkJob, CubeSpec
from hooks.retries import retry_transient


@task(
    name="build-chunks",
    task_run_name="{label}",
    cache_policy=NO_CACHE,  # the ledger knows what is done
    retry_condition_fn=retry_transient,
    retry_jitter_factor=0.5,
)
def build_chunks(spec: CubeSpec, jobs: tuple[ChunkJob, ...], label: str) -> list[ChunkRecord]:
    """Build a batch of chunks; a repetition skips those that are done."""
    return process_batch(spec, jobs, again=task_run.run_count > 1)
