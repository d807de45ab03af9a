"""Progress is told now and then, never chunk by chunk, and a server that is away does not hold up the chunks."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

import flows.progress_artifact
from ardcube.extent.grid import Window
from ardcube.lease.lease import LeaseLostError
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.plan.jobs import ChunkJob, ChunkKey
from flows.progress import Silence
from flows.progress_artifact import Watch
from tests.servers.processes import PrefectServer


def job(col: int) -> ChunkJob:
    return ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, col, col + 1), "items/x", "h", 1)


def record(col: int) -> ChunkRecord:
    attempt = Attempt(datetime.now(UTC).isoformat(), "here", 1.0)
    return ChunkRecord(ChunkKey("2023-01", 0, col), "written", "h", (attempt,))


def watch(check: object = None) -> tuple[Watch, str]:
    flow_run_id = uuid4()
    return Watch(Silence(), flow_run_id, "Alps 1", lambda _: 0, check or (lambda: None)), str(flow_run_id)  # type: ignore[arg-type]


class Clock:
    """Goes on as it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(flows.progress_artifact, "time", clock)
    return clock


def test_ten_thousand_chunks_in_a_minute_are_some_updates(
    prefect_server: PrefectServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    revise = flows.progress_artifact.revise
    monkeypatch.setattr(flows.progress_artifact, "revise", lambda *what: told.append(what[2]) or revise(*what))
    seen, flow_run_id = watch()
    seen.started(10_000, 7)
    for col in range(10_000):
        clock.now += 0.006
        seen.ended(job(col), record(col))
        seen.returned()
    seen.finished()
    assert 10 <= len(told) <= 13
    assert told[0].endswith("; 7 were done before")
    assert told[1].endswith("; 7 were done before; less than a minute left")
    (artifact,) = prefect_server.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}})
    assert (artifact["key"], artifact["type"], artifact["data"]) == ("alps-1-progress", "progress", 100.0)
    assert artifact["description"] == "10000 of 10000 chunks: 10000 written; 7 were done before"


def test_chunks_that_come_back_together_are_all_told_and_the_first_ones_do_not_say_how_long_the_others_take(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(flows.progress_artifact, "post", lambda *_: uuid4())
    monkeypatch.setattr(flows.progress_artifact, "revise", lambda *what: told.append(what[2]) or True)
    seen, _ = watch()
    seen.started(1000, 0)
    for batch in range(3):
        clock.now += 60 if batch == 0 else 6  # workers start, and load what they need
        for col in range(10 * batch, 10 * batch + 10):
            seen.ended(job(col), record(col))
        seen.returned()
    assert told == [
        "10 of 1000 chunks: 10 written",
        "20 of 1000 chunks: 20 written; about 10 min left",
        "30 of 1000 chunks: 30 written; about 10 min left",
    ]


def test_a_server_that_is_away_is_not_asked_again_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(flows.progress_artifact, "post", lambda *_: uuid4())
    monkeypatch.setattr(
        flows.progress_artifact, "revise", lambda *_: asked.append(clock.now)
    )  # None: it did not take it
    seen, _ = watch()
    seen.started(1000, 0)
    for col in range(1000):
        clock.now += 0.2
        seen.ended(job(col), record(col))
        seen.returned()
    assert len(asked) == 4
    assert seen.tally.ended["written"] == 1000


def test_a_run_that_has_lost_its_cube_stops_in_the_middle(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise LeaseLostError("another run has it")

    monkeypatch.setattr(flows.progress_artifact, "post", lambda *_: None)
    seen, _ = watch(lost)
    seen.started(2, 0)
    clock.now += 60
    seen.ended(job(0), record(0))
    with pytest.raises(LeaseLostError):
        seen.returned()
