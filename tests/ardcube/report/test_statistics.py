"""Sums over the records of a run."""

from __future__ import annotations

from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.planning.jobs import ChunkKey
from ardcube.report.causes import LOST_WORKER
from ardcube.report.statistics import Tally


def record(col: int, status: Status, *errors: str | None) -> ChunkRecord:
    attempts = tuple(Attempt("2023-01-01T00:00:00+00:00", "here", 1800.0, error) for error in errors)
    done = status != "failed"
    return ChunkRecord(
        ChunkKey("2023-01", 0, col), status, "hash", attempts,
        seconds={"bands": 1000.0, "write": 800.0} if done else {}, byte_counts={"read": 7} if done else {},
    )  # fmt: skip


def test_all_attempts_of_this_run_and_none_of_earlier_runs_are_counted() -> None:
    tally = Tally()
    for added in (record(0, "written", None), record(2, "failed", "SceneError: c")):
        tally.add(added.key, added)
    again = record(1, "written", "TransientError: a", "TransientError: b", None)
    tally.add(again.key, again, attempts_before=1)
    tally.add(ChunkKey("2023-01", 0, 3), None)
    assert dict(tally.ended) == {"written": 2, "failed": 2}
    assert (tally.attempts, tally.retried, tally.core_hours) == (4, 1, 2.0)
    assert tally.stages == {"bands": 2000.0, "write": 1600.0}
    assert tally.byte_counts["read"] == 14
    assert [(cause.problem, cause.first) for cause in tally.recovered.causes()] == [("b", "2023-01_y0000_x0001")]
    assert [cause.problem for cause in tally.failed.causes()] == ["c", LOST_WORKER]
