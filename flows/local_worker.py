"""A Dask worker in the flow's own process that closes at once when the flow is cancelled."""

from typing import Any

from distributed import Worker


class LocalWorker(Worker):
    """Does not wait for its threads when it is closed, because one may build a chunk for minutes.

    Chunks in flight are then lost with the process, as if it were killed: a chunk without a record is built again.
    """

    async def close(self, *args: Any, **more: Any) -> Any:
        """Close the worker; leave its threads running."""
        return await super().close(*args, **{**more, "executor_wait": False})
