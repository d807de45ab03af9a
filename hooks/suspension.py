"""Report that a suspended run has ended its process, so that its missing heartbeats are no sign of a crash."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events import emit_event
from prefect.exceptions import Pause
from prefect.runtime import flow_run

SUSPENDED = "ardcube.flow-run.suspended"
"""Name of the event. `deployments/zombies.yaml` expects it."""


@contextmanager
def suspension_reported() -> Iterator[None]:
    """Emit an event if the run was suspended in this block.

    Prefect sets the state *Suspended* at once. The run sends heartbeats until the chunks in flight are done.
    """
    try:
        yield
    except Pause:
        emit_event(SUSPENDED, {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"})
        raise
