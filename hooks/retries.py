"""Decide which failed task runs Prefect retries."""

from typing import Any

from prefect import Task
from prefect.client.schemas import TaskRun
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext

from ardcube.errors import PermanentError


def retry_transient(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed task run is retried: unless its error is permanent."""
    try:
        state.result()
    except PermanentError:
        return False
    except Exception:  # noqa: BLE001  (an error of a library may be transient)
        return True
    return False


def is_last_attempt() -> bool:
    """Return whether the current task run is not retried, whatever happens."""
    context = TaskRunContext.get()
    return context is None or context.task_run.run_count > (context.task.retries or 0)
