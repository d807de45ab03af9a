"""The task that builds chunks."""

from distributed import get_worker
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from ardcube.chunk.batch import Batch, Built, sharing_memory
from ardcube.chunk.forked import build_batch
from hooks.logs import forward_logs, log_built
from hooks.names import batch_name, name_attempt
from hooks.retries import is_last_attempt, retry_transient


@task(
    name="build-chunks",
    task_run_name=batch_name,
    cache_policy=NO_CACHE,  # the ledger records which chunks are done
    retry_condition_fn=retry_transient,
    retry_jitter_factor=0.5,
)
def build_chunks(batch: Batch) -> Built:
    """Build a batch of chunks; a retry skips the chunks that are done."""
    name_attempt()
    forward_logs()
    worker = get_worker()
    batch.check_version(worker.address)
    with sharing_memory(batch.spec, worker.state.nthreads) as spec:
        built = build_batch(batch, spec, again=task_run.run_count > 1, last=is_last_attempt())
    log_built(built.records)
    return built
