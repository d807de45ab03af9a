"""Send events of task runs to the Prefect server of their flow run."""

from prefect.events.worker import EventsWorker

_GRACE = 5.0
"""Seconds that events for the previous server have to be sent."""
_server: str | None = None
"""URL of the server that this process sends events to; None before the first run."""


async def report_to(server: str) -> None:
    """Send the events of this process to a Prefect server from now on.

    Prefect connects a process to the first server that it gets an address of, and keeps the connection. Task runs of a
    later flow run on another server would be missing there. Flow runs of two servers at the same time share one
    connection: the server of the run that began last gets the events of both.

    Parameters
    ----------
    server : str
        URL of the server's API.
    """
    global _server  # noqa: PLW0603  (Prefect keeps one connection per process too)
    if server != _server:
        _server = server
        if (sent := EventsWorker.drain_all(timeout=_GRACE, at_exit=False)) is not None:
            await sent  # type: ignore[misc]
