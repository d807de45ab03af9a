"""Task runs are told to the Prefect server of their flow run, also by a worker that has served another one."""

from prefect.events.worker import EventsWorker

_GRACE = 5.0
"""Seconds that events for the server before have to be sent."""
_server: str | None = None
"""That this process was last told of."""


async def report_to(server: str) -> None:
    """Let this process send events to a Prefect server from now on.

    Prefect connects a process to the first server that it hears of, and keeps to it; the task runs of a later flow run
    on another server would be missing there. Flow runs of two servers at the same time still share one connection: the
    one that began last gets the events of both.

    Parameters
    ----------
    server : str
        URL of its API.
    """
    global _server  # noqa: PLW0603  (it stands for the connection, which Prefect keeps per process too)
    if server != _server:
        _server = server
        if (sent := EventsWorker.drain_all(timeout=_GRACE, at_exit=False)) is not None:
            await sent  # type: ignore[misc]
