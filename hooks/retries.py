"""Which failed task runs Prefect tries again."""

from typing import Any

from prefect import Task
from prefect.client.schemas import TaskRun
from prefect.client.schemas.objects import State

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
