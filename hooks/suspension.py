"""End a suspended run so that it can be resumed, and so that its missing heartbeats are no sign of a crash."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import Suspended

SUSPENDED = "ardcube.flow-run.suspended"
"""Name of the event. `deployments/zombies.yaml` expects it."""


@contextmanager
def suspension_reported() -> Iterator[None]:
    """Emit an event if the run was suspended in this block.

    Prefect sets the state *Suspended* at once. The run sends heartbeats until the chunks in flight are done.
    """
    try:
        yield
    except Pause as pause:
        _make_resumable(pause.state)
        emit_event(SUSPENDED, {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"})
        raise


def _make_resumable(state: State | None) -> None:
    """Let *Resume* start the run again, because the process of a suspended run ends.

    A client of the API may leave out `pause_reschedule`. *Resume* then sets the state to *Running*, but no process does
    the work.
    """
    if state is None or state.state_details.pause_reschedule:
        return
    with get_client(sync_client=True) as client:
        resumable: State = Suspended(pause_expiration_time=state.state_details.pause_timeout)
        client.set_flow_run_state(flow_run.id, resumable, force=True)
