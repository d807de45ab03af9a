"""Which failed task runs Prefect tries again."""

from typing import Any

from prefect import Task
from prefect.client.schemas import TaskRun
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext

from ardcube.errors import PermanentError


def retry_transient(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Retry all but permanent errors."""
    try:
        state.result()
    except PermanentError:
        return False
    except Exception:  # noqa: BLE001  (whatever a library raised: the next attempt may meet a better moment)
        return True
    return False


def is_last_attempt() -> bool:
    """Whether the task run that this is called in is not tried again, whatever happens."""
    context = TaskRunContext.get()
    return context is None or context.task_run.run_count > (context.task.retries or 0)
