"""Log lines that are forwarded to a run name their chunk and contain no secret."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from prefect import flow, task

from ardcube.runtime.log_context import log_chunk
from hooks.logs import RunHandler, forward_logs, line_of

LOGGER = logging.getLogger("ardcube.somewhere")


def record(message: str, *args: object) -> logging.LogRecord:
    return LOGGER.makeRecord(LOGGER.name, logging.WARNING, __file__, 1, message, args, None)


def test_a_log_line_begins_with_the_chunk_of_its_thread() -> None:
    assert line_of(record("ignored %s", "it")) == "ignored it"
    with log_chunk("2023-05_y0000_x0001"):
        assert line_of(record("ignored %s", "it")) == "2023-05_y0000_x0001: ignored it"
        assert line_of(record("2023-05_y0000_x0001: attempt 1 failed")) == "2023-05_y0000_x0001: attempt 1 failed"
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(line_of, record("elsewhere")).result() == "elsewhere"
    assert line_of(record("after")) == "after"


def test_a_log_line_contains_no_secret() -> None:
    assert line_of(record("HTTP 403: %s", "https://h/B04.tif?sig=SECRET")) == "HTTP 403: https://h/B04.tif?***"


@pytest.mark.usefixtures("prefect_server")
def test_log_lines_of_ardcube_reach_the_logger_of_the_run_once(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def work() -> None:
        forward_logs()
        with log_chunk("2023-05_y0000_x0001"):
            LOGGER.warning("slow")

    @flow
    def job() -> None:
        forward_logs()
        forward_logs()
        LOGGER.warning("searching")
        work()

    job()
    LOGGER.warning("outside of any run")
    assert [entry.getMessage() for entry in caplog.records if entry.name == "prefect.task_runs"].count(
        "2023-05_y0000_x0001: slow"
    ) == 1
    said = [entry.getMessage() for entry in caplog.records if entry.name == "prefect.flow_runs"]
    assert said.count("searching") == 1
    assert "outside of any run" not in said
    assert sum(isinstance(handler, RunHandler) for handler in logging.getLogger("ardcube").handlers) == 1
