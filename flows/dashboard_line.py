"""Log the address of Dask's dashboard only if the dashboard can be opened."""

import logging
from importlib.util import find_spec

from prefect.logging import get_logger


def hide_unusable_dashboard() -> None:
    """Drop the line with the address if bokeh is not installed, because the page then shows only that it is missing."""
    if find_spec("bokeh") is None:
        get_logger("task_runner.dask").addFilter(_names_no_dashboard)


def _names_no_dashboard(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("The Dask dashboard is available")
