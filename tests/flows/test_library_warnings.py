"""Lines of libraries that mean nothing to a user reach neither the terminal nor the log."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.util import find_spec

import pytest
from prefect_dask import DaskTaskRunner

from flows.runners import start_runner
from tests.flows.jobs import run_config

SILENT = "from flows.run_flow import configure_prefect; configure_prefect(debug=False)"
ENDS_WITH_A_SEMAPHORE = (
    'import os; from multiprocessing import get_context; one = get_context("spawn").Semaphore(); os._exit(0)'
)
IS_WITHOUT_A_ROUTE = "from distributed.utils import get_ip; get_ip('there.invalid')"


@pytest.mark.parametrize("code", [ENDS_WITH_A_SEMAPHORE, IS_WITHOUT_A_ROUTE])
def test_a_command_prints_no_such_warning(code: str) -> None:
    def printed(lines: str) -> str:
        return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stderr

    assert "Warning: " in printed(code)
    assert printed(f"{SILENT}; {code}") == ""


@pytest.mark.usefixtures("prefect_server")
def test_the_address_of_a_dashboard_is_logged_only_if_it_shows_a_page(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO), start_runner(run_config("memory://cube")) as runner:
        assert isinstance(runner, DaskTaskRunner)
    lines = [record.getMessage() for record in caplog.records if record.name == "prefect.task_runner.dask"]
    assert any("Dask cluster" in line for line in lines)
    assert any("dashboard" in line for line in lines) == (find_spec("bokeh") is not None)
