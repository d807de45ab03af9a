"""The progress artifact is updated every few seconds, and chunks do not wait for a server that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

import flows.progress_artifact
from ardcube.extent.window import Window
from ardcube.lease.fence import LeaseLostError
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkJob, ChunkKey
from flows.progress import ProgressReceiver
from flows.progress_artifact import ProgressArtifact
from tests.servers.processes import PrefectServer
from tests.strategies import JANUARY


def job(col: int) -> ChunkJob:
    return ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, col, col + 1), "items/x", "h", 1, JANUARY)


def record(col: int) -> ChunkRecord:
    attempt = Attempt(datetime.now(UTC).isoformat(), "here", 1.0)
    return ChunkRecord(ChunkKey("2023-01", 0, col), "written", "h", (attempt,))


def artifact_of(check: Callable[[], None] = lambda: None) -> tuple[ProgressArtifact, str]:
    flow_run_id = uuid4()
    return ProgressArtifact(ProgressReceiver(), flow_run_id, "Alps 1", lambda _: 0, check), str(flow_run_id)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(flows.progress_artifact, "time", clock)
    return clock


def test_ten_thousand_chunks_in_a_minute_cost_a_dozen_updates(
    prefect_server: PrefectServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    revise = flows.progress_artifact.revise
    monkeypatch.setattr(flows.progress_artifact, "revise", lambda *what: shown.append(what[2]) or revise(*what))
    artifact, flow_run_id = artifact_of()
    artifact.started(10_000, 7)
    for col in range(10_000):
        clock.now += 0.006
        artifact.chunk_ended(job(col), record(col))
        artifact.batch_ended()
    artifact.finished()
    assert 10 <= len(shown) <= 13
    assert shown[0].endswith("; 7 were done before")
    assert shown[1].endswith("; 7 were done before; less than a minute left")
    (posted,) = prefect_server.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}})
    assert (posted["key"], posted["type"], posted["data"]) == ("alps-1-progress", "progress", 100.0)
    assert posted["description"] == "10000 of 10000 chunks: 10000 written; 7 were done before"


def test_all_chunks_of_a_batch_are_counted_and_the_first_batch_does_not_count_for_the_time_left(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(flows.progress_artifact, "post", lambda *_: uuid4())
    monkeypatch.setattr(flows.progress_artifact, "revise", lambda *what: shown.append(what[2]) or True)
    artifact, _ = artifact_of()
    artifact.started(1000, 0)
    for batch in range(3):
        clock.now += 60 if batch == 0 else 6  # workers start, and load what they need
        for col in range(10 * batch, 10 * batch + 10):
            artifact.chunk_ended(job(col), record(col))
        artifact.batch_ended()
    assert shown == [
        "10 of 1000 chunks: 10 written",
        "20 of 1000 chunks: 20 written; about 10 min left",
        "30 of 1000 chunks: 30 written; about 10 min left",
    ]


def test_a_server_that_does_not_answer_is_asked_again_after_a_minute(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(flows.progress_artifact, "post", lambda *_: uuid4())
    monkeypatch.setattr(flows.progress_artifact, "revise", lambda *_: asked.append(clock.now))
    artifact, _ = artifact_of()
    artifact.started(1000, 0)
    for col in range(1000):
        clock.now += 0.2
        artifact.chunk_ended(job(col), record(col))
        artifact.batch_ended()
    assert len(asked) == 4
    assert artifact.tally.ended["written"] == 1000


def test_a_run_that_lost_its_lease_stops_at_the_next_update(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise LeaseLostError("another run has it")

    monkeypatch.setattr(flows.progress_artifact, "post", lambda *_: None)
    artifact, _ = artifact_of(lost)
    artifact.started(2, 0)
    clock.now += 60
    artifact.chunk_ended(job(0), record(0))
    with pytest.raises(LeaseLostError):
        artifact.batch_ended()
