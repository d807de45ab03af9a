"""A service that does not answer is waited for, reported once, and reported again when it is over."""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from ardcube.errors import OutageError
from ardcube.runtime import outages
from ardcube.runtime.outages import Outage, in_words, outlast


class Server:
    """A service that raises OSError, or hangs, until it is healed."""

    def __init__(self) -> None:
        self.name = f"s3://{uuid.uuid4().hex}"
        self.up = threading.Event()
        self.calls = 0

    def ask(self) -> str:
        self.calls += 1
        if not self.up.is_set():
            raise OSError("connection refused")
        return "an answer"

    def hang(self) -> str:
        assert self.up.wait(30)
        return "an answer"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(outages, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(outages, "_FIRST_PAUSE", 0.02)
    return Server()


def text(error: Exception) -> str | None:
    return str(error) if isinstance(error, OSError) else None


def heal_when_reported(server: Server, caplog: pytest.LogCaptureFixture) -> threading.Thread:
    def wait() -> None:
        end = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.01)
        server.up.set()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("how", ["ask", "hang"])
def test_many_threads_report_one_outage_once_and_its_end_once(
    server: Server, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    answers: list[str] = []

    def work() -> None:
        answers.append(outlast(server.name, 60, getattr(server, how), text))

    healer = heal_when_reported(server, caplog)
    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in [healer, *threads]:
        thread.join(30)
    assert answers == ["an answer"] * 5
    reason = " (connection refused)" if how == "ask" else ""
    begun, ended = caplog.messages
    assert begun == f"{server.name}: does not answer{reason}; waiting up to 60 s"
    assert re.fullmatch(rf"{server.name}: available again after \d+ s", ended)


def test_a_short_failure_is_repeated_and_not_reported(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "SILENCE_SECONDS", 20)

    def ask() -> str:
        if server.calls == 2:
            server.up.set()
        return server.ask()

    assert outlast(server.name, 60, ask, text) == "an answer"
    assert server.calls == 3
    assert caplog.messages == []


def test_after_the_patience_every_thread_fails_at_once_until_the_service_answers(server: Server) -> None:
    with pytest.raises(OutageError, match=rf"^{server.name}: does not answer for \d s \(connection refused\); run"):
        outlast(server.name, 0.3, server.ask, text)
    before = server.calls
    with pytest.raises(OutageError):
        outlast(server.name, 0.3, server.ask, text)
    assert server.calls == before + 1
    server.up.set()
    assert outlast(server.name, 0.3, server.ask, text) == "an answer"


def test_an_error_that_waiting_cannot_avoid_is_raised_at_once(server: Server) -> None:
    def refuse() -> None:
        server.calls += 1
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        outlast(server.name, 60, refuse, lambda _: None)
    assert server.calls == 1


RUN: ContextVar[str] = ContextVar("run", default="")


def test_a_line_has_the_context_of_the_operation(server: Server) -> None:
    found: list[str] = []

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(RUN.get())
            server.up.set()

    handler = Seen()
    outages.logger.addHandler(handler)
    token = RUN.set("eager-otter")
    try:
        outlast(server.name, 60, server.hang, text)
    finally:
        RUN.reset(token)
        outages.logger.removeHandler(handler)
    assert found == ["eager-otter"] * 2


def test_no_patience_means_one_attempt(server: Server) -> None:
    with pytest.raises(OutageError), Outage(server.name, 0) as outage:
        outage.failed("no worker")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    outages._reported.clear()


@pytest.mark.parametrize(("seconds", "expected"), [(0.4, "0 s"), (90, "90 s"), (900, "15 minutes")])
def test_durations_in_words(seconds: float, expected: str) -> None:
    assert in_words(seconds) == expected
