"""Refresh a cube on a schedule: add ended periods, build changed chunks again."""

from datetime import UTC, datetime

from prefect import flow
from prefect.logging import get_run_logger

from ardcube.config import GrowingCubeConfig, RefreshConfig, RunConfig
from ardcube.extent.months import limit_to_ended_periods
from ardcube.report.summary import BuildSummary
from flows.build_cube import build_cube
from flows.try_again import try_again
from hooks.names import build_run_name
from hooks.states import on_cancellation, on_crashed, on_failure

_TODAY = RefreshConfig()


@flow(
    name="refresh-cube",
    flow_run_name=build_run_name,
    on_failure=[on_failure],
    on_crashed=[on_crashed],
    on_cancellation=[on_cancellation],
)
def refresh_cube(cube: GrowingCubeConfig, run: RunConfig, refresh: RefreshConfig = _TODAY) -> BuildSummary:
    """Build a cube up to the last period that has ended.

    Existing chunks are built again if their scenes have changed.

    A period that a run missed is built by the next one. With `run.look_back_months`, complete periods before the
    look-back are not searched, and remain unchanged even if their scenes have changed.

    Parameters
    ----------
    cube : GrowingCubeConfig
        All that changes a pixel of the cube. Its end is resolved when the run begins.
    run : RunConfig
        Where and how the cube is built.
    refresh : RefreshConfig
        When a period counts as ended.

    Raises
    ------
    InputError
        If no period has ended, or as `build_cube`.
    ChunksFailedError
        If chunks are missing although all others were built.
    """
    today = refresh.as_of or datetime.now(UTC).date()
    dated = limit_to_ended_periods(cube, today, refresh.delay_days)
    shown = "%Y-%m-%d" if dated.period_rule.has_days else "%Y-%m"
    get_run_logger().info(
        "as of %s the cube goes from %s to %s", today, dated.start_date.strftime(shown), dated.end_date.strftime(shown)
    )
    # Not a second flow run, because an operator should see and cancel one run.
    return try_again(lambda: build_cube.fn(dated, run), refresh.retry_hours)
