"""The outcome of a run in one line: causes, left-out scenes, empty periods."""

from __future__ import annotations

from collections.abc import Mapping

from ardcube.extent.window import Window
from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.report.summary import BuildSummary, ChunksFailedError, RunScope, summarize
from tests.strategies import JANUARY


def job(col: int) -> ChunkJob:
    return ChunkJob(ChunkKey("2023-01", 0, col), 0, Window(0, 1, 0, 1), "items/a.parquet", "h", 1, JANUARY)


def record(col: int, status: Status, bad: Mapping[str, str] = {}, **more: object) -> ChunkRecord:
    error = "SceneError: " + "; ".join(bad.values()) if status == "failed" else None
    attempt = Attempt("2023-01-01T00:00:00+00:00", "here", 1.0, error, bool(error), bad)
    scenes = ("S2A_9",) if status == "written" else ()
    return ChunkRecord(job(col).key, status, "h", (attempt,), scenes, **more)  # type: ignore[arg-type]


def summary_of(*records: ChunkRecord, chunks: int = 10, skip: int = 0) -> BuildSummary:
    jobs = [job(record.key.col) for record in records]
    scope = RunScope("u", chunks, len(jobs), jobs)
    return summarize(scope, {record.key: record for record in records}, 1.0, skip)


def test_the_message_of_a_failed_run_names_causes_with_chunks_and_remedies() -> None:
    first, second = {"S2A_1": "/a.tif: truncated"}, {"S2A_2": "/b.tif: missing"}
    summary = summary_of(record(0, "failed", first), record(1, "failed", first), record(2, "failed", second),
                         record(3, "written"))  # fmt: skip
    assert (
        str(ChunksFailedError(summary))
        == summary.message
        == (
            "3 of 10 chunks failed: scene S2A_1: /a.tif: truncated (2 chunks); scene S2A_2: /b.tif: missing (1 chunk); "
            "replace the file, or add --skip-bad-scenes 2; run again to build only these"
        )
    )
    assert [failure.chunk for failure in summary.failures] == [str(job(col).key) for col in range(3)]


def test_the_message_is_short_for_very_many_causes() -> None:
    records = [record(col, "failed", {f"S2A_{col}": f"https://h/{col}/B04.tif?sig=SECRET {'x' * 900}"})
               for col in range(500)]  # fmt: skip
    message = summary_of(*records).message
    assert "and 497 more" in message
    assert len(message) < 1300
    assert "SECRET" not in message


def test_the_message_of_a_complete_run_counts_chunks_and_names_left_out_scenes() -> None:
    assert summary_of(record(0, "written"), record(1, "empty")).message == (
        "10 chunks: 1 written, 1 empty, 8 done before"
    )
    skipped = {f"S2A_{number}": "/a.tif: truncated" for number in range(5)}
    summary = summary_of(record(0, "written", skipped=skipped), record(1, "written", skipped={"S2A_0": "x"}), skip=5)
    assert summary.message == (
        "10 chunks: 2 written, 8 done before; 5 scenes left out: S2A_0 (2 chunks, /a.tif: truncated); "
        "S2A_1 (1 chunk, /a.tif: truncated); S2A_2 (1 chunk, /a.tif: truncated); and 2 more"
    )


def test_the_message_of_a_run_without_any_scene_warns() -> None:
    message = summary_of(record(0, "empty"), chunks=1).message
    assert message == ("1 chunk: 1 empty; no scene was found in any period; check collection, periods, area and bands")
