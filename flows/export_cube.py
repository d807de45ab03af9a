"""Export a cube to files on the workers of a run."""

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed

from ardcube.config import RunConfig
from ardcube.errors import InputError, OutageError
from ardcube.exporting.request import Wanted
from ardcube.exporting.running import ExportOrder, ExportSummary, RunningExport, started
from ardcube.storage.place import Place
from flows.build_cube import hold_lease, prepare_process
from flows.runners import start_runner
from hooks.names import export_run_name
from hooks.states import on_failure

_MOST_TASKS = 1000
"""Task runs of an export at most; further files share them. Prefect's server takes about 0.1 s for each."""


@flow(
    name="export-cube",
    flow_run_name=export_run_name,
    on_failure=[on_failure],
    on_crashed=[on_failure],
    on_cancellation=[on_failure],
)
def export_cube(uri: str, wanted: Wanted, run: RunConfig, overwrite: bool = False) -> ExportSummary:
    """Export the cube at `uri` to files in the folder `run.fsspec_uri`.

    1. Check the request and the workers; write nothing.
    2. Take the lease of the folder and hold it to the end.
    3. Map the export task over the files that are due. Each appears whole, and the flow lists it.

    A later run of the same export writes the files that are not listed.

    Parameters
    ----------
    uri : str
        Store of the cube.
    wanted : Wanted
        Periods, variables, area and format.
    run : RunConfig
        Folder of the files, options of its filesystem and of the cube's, and the backend.
    overwrite : bool
        Replace files that have other content.

    Raises
    ------
    InputError
        If the request cannot be met, or another run exports to the folder. Nothing was written.
    StoreError
        If the cube is damaged, or a worker does not see it.
    RunStopsError, TransientError
        If the cube cannot be read or the folder cannot be written. The same export continues.
    """
    try:
        prepare_process(run)
    except InputError as error:  # the folder takes the place of a store
        raise InputError(str(error).replace("fsspec-uri", "output")) from None
    order = ExportOrder(uri, run.fsspec_uri, wanted, overwrite, run.storage_options)

    def hold(place: Place) -> Any:
        return hold_lease(place, run)

    with started(order, hold) as running:
        get_run_logger().info("%d files to write in %s", len(running.due), run.fsspec_uri)
        if running.due:
            _map_files(running, run)
        summary = running.summary()
    done: Any = Completed(message=f"{summary.message} in {run.fsspec_uri}", data=summary)
    return done  # type: ignore[no-any-return]  # its caller gets the data


def _map_files(running: RunningExport, run: RunConfig) -> None:
    """Map the export task over the due files; list those that are finished, then raise the first error."""
    import distributed  # it takes seconds to import

    from flows.workers import wait_for_batch
    from tasks.files import export_files

    task = export_files.with_options(retries=run.retries, retry_delay_seconds=run.retry_delays or 0.0)
    each = -(-len(running.due) // _MOST_TASKS)
    parts = [running.part(running.due[first : first + each]) for first in range(0, len(running.due), each)]
    errors: list[Exception] = []
    with start_runner(run) as runner:
        futures: Any = runner.map(task, {"part": parts})
        left = {future.wrapped_future.key: future for future in futures}
        completed: Any = distributed.as_completed(
            [future.wrapped_future for future in futures], loop=runner.client.loop
        )
        while left:
            if not wait_for_batch(completed, runner.client, run.patience_seconds):
                raise OutageError("the cluster has no worker; start one, and export again to continue")
            sizes: dict[str, int] = {}
            for done in completed.next_batch(block=False):
                try:
                    sizes |= left.pop(done.key).result()
                except Exception as error:  # noqa: BLE001  (the other files are finished first)
                    errors.append(error)
            running.finish(sizes)
            for name in sizes:
                get_run_logger().info("%s written", name)
    if errors:
        raise errors[0]
