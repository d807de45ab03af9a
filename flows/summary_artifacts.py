"""Post the artifacts of a run that ended: its summary with a map and a picture, and a table of failed chunks."""

import json
from collections.abc import Mapping
from uuid import UUID

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.ledger.last_plan import read_planned
from ardcube.ledger.record import ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.plan.jobs import ChunkKey
from ardcube.redaction import without_secrets
from ardcube.report.state_map import chunk_states
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary
from ardcube.storage.place import cube_name
from flows.run_context import RunContext
from hooks.artifacts import artifact_key, post


def post_summary(
    context: RunContext, records: Mapping[ChunkKey, ChunkRecord], summary: BuildSummary, tally: Tally
) -> None:
    """Post the summary, and a table if chunks failed or were retried. An error is logged, since the cube is built.

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


def _post(context: RunContext, records: Mapping[ChunkKey, ChunkRecord], summary: BuildSummary, tally: Tally) -> None:
    from ardcube.report.page import Cost, ended_page, trouble_note, trouble_rows
    from ardcube.report.preview import draw_preview  # xarray and rasterio are slow to import

    place, ledger, flow_run_id = context.pending.place, context.pending.ledger, UUID(str(flow_run.id))
    name, options = cube_name(place.path), dict(context.run.storage_options)
    rows = trouble_rows(summary, tally)
    if rows:
        note = trouble_note(place, options, summary, tally)
        post(flow_run_id, "table", artifact_key(name, "failed-and-retried"), json.dumps(rows), note)
    cube = StoredCube.read(ledger)
    planned = None if cube is None else read_planned(ledger, cube.grid, cube.config.tile_size)
    if cube is None or planned is None:
        return
    states = chunk_states([period.label for period in cube.periods], planned.tiles, records.values())
    try:
        preview = draw_preview(place, options, cube, states)
    except Exception as error:  # noqa: BLE001  (a summary without a picture is useful too)
        get_run_logger().warning("no picture: %s", without_secrets(f"{type(error).__name__}: {error}"))
        preview = None
    cost = Cost(context.run.price_per_core_hour)
    page = ended_page(place, options, cube, states, summary, tally, cost, preview)
    post(flow_run_id, "markdown", artifact_key(name, "summary"), page)
