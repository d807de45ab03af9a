"""Post the artifacts of a run that ended: its summary, causes of failures, the reason of a stop."""

from collections.abc import Mapping
from uuid import UUID

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.errors import RunStopsError
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.redaction import without_secrets
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary
from ardcube.storage.place import cube_name
from flows.progress_artifact import ProgressArtifact
from flows.run_context import RunContext
from hooks.artifacts import artifact_key, post


def post_summary(
    context: RunContext, records: Mapping[ChunkKey, ChunkRecord], summary: BuildSummary, tally: Tally
) -> None:
    """Post the summary, and the causes if chunks failed or were retried.

    An error is logged and not raised, because the cube is built.

    Parameters
    ----------
    context : RunContext
        The run.
    records : mapping
        Records of the cube's chunks when the run ended; brief ones are enough.
    summary, tally : BuildSummary, Tally
        Counts of the run.
    """
    try:
        _post(context, records, summary, tally)
    except Exception as error:  # noqa: BLE001  (see above)
        get_run_logger().warning("no summary: %s", without_secrets(f"{type(error).__name__}: {error}"))


def post_stop(context: RunContext, progress: ProgressArtifact, error: RunStopsError) -> None:
    """Post the reason why a run stops: in its progress, and in a summary of the cube.

    A further error is logged and not raised, because it would hide the reason.

    Parameters
    ----------
    context : RunContext
        The run.
    progress : ProgressArtifact
        The progress of the run.
    error : RunStopsError
        The reason.
    """
    from ardcube.report.page import about_stopped, stopped_page
    from ardcube.report.snapshot import CubeSnapshot

    reason = without_secrets(str(error))
    progress.stopped(reason)
    place, options = context.pending.place, dict(context.run.storage_options)
    try:
        snapshot = CubeSnapshot.take(place, options, context.pending.ledger)
    except Exception as failed:  # noqa: BLE001  (see above)
        get_run_logger().warning("no summary: %s", without_secrets(f"{type(failed).__name__}: {failed}"))
        return
    if snapshot is not None:
        page = stopped_page(snapshot, "Stopped", reason)
        key = artifact_key(cube_name(place.path), "summary")
        post(UUID(str(flow_run.id)), "markdown", key, page, about_stopped(snapshot, "Stopped"))


def _post(context: RunContext, records: Mapping[ChunkKey, ChunkRecord], summary: BuildSummary, tally: Tally) -> None:
    from ardcube.report.page import about_problems, about_summary, ended_page, problem_page
    from ardcube.report.preview import draw_preview  # numpy, zarr and rasterio are slow to import
    from ardcube.report.snapshot import CubeSnapshot

    place, ledger, flow_run_id = context.pending.place, context.pending.ledger, UUID(str(flow_run.id))
    name, options = cube_name(place.path), dict(context.run.storage_options)
    problems = problem_page(place, options, summary, tally)
    if problems is not None:
        key, about = artifact_key(name, "failed-and-retried"), about_problems(summary, tally)
        post(flow_run_id, "markdown", key, problems, about)
    snapshot = CubeSnapshot.take(place, options, ledger, records.values())
    if snapshot is None:
        return
    try:
        preview = draw_preview(snapshot)
    except Exception as error:  # noqa: BLE001  (a summary without a picture is useful too)
        get_run_logger().warning("no picture: %s", without_secrets(f"{type(error).__name__}: {error}"))
        preview = None
    page = ended_page(snapshot, summary, tally, context.run.price_per_core_hour, preview)
    post(flow_run_id, "markdown", artifact_key(name, "summary"), page, about_summary(summary))
