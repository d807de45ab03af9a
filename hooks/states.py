"""Clean up after a run that failed, crashed or was cancelled.

A flow that fails or is interrupted releases its lease and closes its cluster by itself. A flow whose process was killed
does not. For such a run, Prefect's worker calls `on_crashed` or `on_cancellation` in another process, which has the
parameters of the run and nothing else.

The ledger needs no repair: pixels are written before their record, and a record is replaced atomically. So a chunk that
was in flight has no record, and the next run builds it.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ParameterTypeError
from prefect.logging.loggers import flow_run_logger
from pydantic import ValidationError

from ardcube.config import RunConfig
from ardcube.lease.lease import release
from ardcube.ledger.ledger import Ledger, stores_with_ledgers
from ardcube.redaction import without_secrets
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import count_states, done_percent
from ardcube.storage.place import Place, cube_name
from hooks.artifacts import artifact_key, post, posted, revise
from hooks.clusters import close_cluster
from hooks.credentials import lend_credentials

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


def on_failure(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """Release the lease and close the cluster of a run that failed."""
    _clean_up(flow, flow_run, state, report=False)


def on_crashed(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """Clean up after a run whose process was killed; report the state of its cube."""
    _clean_up(flow, flow_run, state, report=True)


def on_cancellation(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """Clean up after a run that was cancelled; report the state of its cube."""
    _clean_up(flow, flow_run, state, report=True)


def _clean_up(flow: Flow[..., object], flow_run: FlowRun, state: State, *, report: bool) -> None:
    run = _run_of(flow, flow_run)
    if run is None:
        return
    logger = flow_run_logger(flow_run, flow)
    lent = ExitStack()  # the process serves other runs too
    held: list[Place] = []  # of several cubes, a run holds one at a time
    steps: list[Callable[[], None]] = [
        lambda: close_cluster(run, flow_run.id),
        lambda: lent.enter_context(lend_credentials(run)),
        lambda: held.extend(_released(run, flow_run, logger)),
    ]
    if report:
        steps.append(lambda: _report(held if run.each else [_place(run)], run, flow_run, state))
    with lent:
        for step in steps:
            try:
                step()
            except Exception as error:  # noqa: BLE001  (the next step matters as much, and the run has ended)
                logger.warning("%s", without_secrets(f"after the end of the run: {type(error).__name__}: {error}"))


def _run_of(flow: Flow[..., object], flow_run: FlowRun) -> RunConfig | None:
    """Return the run's configuration; None if its parameters were refused."""
    try:
        run = flow.validate_parameters(flow_run.parameters)["run"]  # resolves references to blocks, too
    except (ParameterTypeError, ValidationError, ValueError, KeyError):
        return None
    return run if isinstance(run, RunConfig) else None


def _place(run: RunConfig) -> Place:
    return Place.at(run.fsspec_uri, run.storage_options)


def _released(run: RunConfig, flow_run: FlowRun, logger: Logger) -> list[Place]:
    """Release the leases that this run, or a run that it started, holds; return the stores."""
    place = _place(run)
    places = [place] if run.each is None else stores_with_ledgers(place)
    held = []
    for owner in (flow_run.id, *_children(flow_run.id)):
        for one in places:
            if release(Ledger.of_store(one).place, str(owner)):
                logger.info("released the lease of %s", one.uri)
                held.append(one)
    return held


def _children(flow_run_id: UUID) -> list[UUID]:
    started_by = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        return [child.id for child in client.read_flow_runs(flow_run_filter=started_by)]


def _report(places: Sequence[Place], run: RunConfig, flow_run: FlowRun, state: State) -> None:
    for place in places:
        _report_cube(place, run, flow_run, state)


def _report_cube(place: Place, run: RunConfig, flow_run: FlowRun, state: State) -> None:
    from ardcube.report.page import about_stopped, stopped_page

    snapshot = CubeSnapshot.take(place, dict(run.storage_options), Ledger.of_store(place))
    if snapshot is None:
        return  # the run was stopped before it wrote anything
    ending = "Cancelled" if state.is_cancelling() or state.is_cancelled() else "Crashed"
    page = stopped_page(snapshot, ending)
    post(flow_run.id, "markdown", artifact_key(cube_name(place.path), "summary"), page, about_stopped(snapshot, ending))
    # The run's own process updated the progress some seconds before it was killed.
    progress = posted(flow_run.id, artifact_key(cube_name(place.path), "progress"))
    if progress is not None:
        counts = ", ".join(f"{count} {name}" for name, count in count_states(snapshot.states).items())
        revise(progress, done_percent(snapshot.states), f"{ending}. Of the cube: {counts}")
