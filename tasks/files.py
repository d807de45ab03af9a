"""The task that exports files of a cube."""

from distributed import get_worker
from prefect import task
from prefect.cache_policies import NO_CACHE

from ardcube.exporting.part import ExportPart
from hooks.logs import forward_logs
from hooks.names import name_attempt, part_name
from hooks.retries import retry_transient


@task(
    name="export-files",
    task_run_name=part_name,
    cache_policy=NO_CACHE,  # the list in the folder records which files are finished
    retry_condition_fn=retry_transient,
    retry_jitter_factor=0.5,
)
def export_files(part: ExportPart) -> dict[str, int]:
    """Write some files of an export; return their bytes by name."""
    name_attempt()
    forward_logs()
    return part.write_on(get_worker().address)
