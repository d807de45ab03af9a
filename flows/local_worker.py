"""A Dask worker in the flow's own process, which is gone as soon as the flow is cancelled."""

from typing import Any

from distributed import Worker


class LocalWorker(Worker):
    """Does not wait for its threads when it is closed: one may be at work on a chunk for minutes.

    What is in flight then is lost with the process, as when it is killed: a chunk without a record is built again.
    """

    async def close(self, *args: Any, **more: Any) -> Any:
        """Close, and leave the threads behind."""
        return await super().close(*args, **{**more, "executor_wait": False})
