"""A Dask worker in the flow's process that closes at once on cancellation."""

from typing import Any

from distributed import Worker


class LocalWorker(Worker):
    """Closes without waiting for its threads, which may build a chunk for minutes.

    Chunks in flight are then lost with the process, as if it were killed: a chunk without a record is built again.
    """

    async def close(self, *args: Any, **more: Any) -> Any:
        """Close the worker; leave its threads running."""
        return await super().close(*args, **{**more, "executor_wait": False})
