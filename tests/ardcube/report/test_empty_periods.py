"""Periods without a scene, and periods without a clear pixel."""

from __future__ import annotations

from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.planning.jobs import ChunkKey
from ardcube.report.empty_periods import EmptyPeriods


def record(month: int, status: Status, *scenes: str, col: int = 0, year: int = 2023) -> ChunkRecord:
    attempt = Attempt("2023-01-01T00:00:00+00:00", "here", 1.0)
    return ChunkRecord(ChunkKey(f"{year}-{month:02d}", 0, col), status, "h", (attempt,), scenes)


def test_a_cube_with_a_pixel_in_each_period_has_none() -> None:
    found = EmptyPeriods.of([record(1, "empty"), record(1, "written", "a", col=1), record(2, "written", "b")])
    assert found == EmptyPeriods(2)
    assert found.messages() == ()


def test_no_scene_at_all_says_what_to_check() -> None:
    found = EmptyPeriods.of([record(1, "empty"), record(1, "empty", col=1), record(2, "empty")])
    assert found.no_scene_at_all
    (message,) = found.messages()
    assert message.startswith("no scene was found in any period; check collection, ")


def test_clouds_everywhere_are_no_missing_scenes() -> None:
    found = EmptyPeriods.of([record(1, "empty", "a"), record(1, "empty", col=1), record(2, "empty", "b")])
    assert not found.no_scene_at_all
    assert found.messages() == (
        "all scenes are cloudy or without data in every period; check the cloud mask, or choose longer periods",
    )


def test_both_kinds_are_named_with_their_periods() -> None:
    months = [record(1, "empty"), record(2, "empty", "a"), record(3, "written", "b")]
    assert EmptyPeriods.of(months).messages() == (
        "no scene was found in 1 of 3 periods: 2023-01",
        "all scenes are cloudy or without data in 1 of 3 periods: 2023-02",
    )


def test_a_period_with_a_failed_chunk_is_not_empty() -> None:
    assert EmptyPeriods.of([record(1, "empty"), record(1, "failed", col=1)]) == EmptyPeriods(1)


def test_a_limited_number_of_periods_is_named() -> None:
    years = [record(month, "empty", year=year) for year in range(2014, 2024) for month in range(1, 13)]
    (message,) = EmptyPeriods.of([*years, record(1, "written", "a", year=2024)]).messages()
    assert message.startswith("no scene was found in 120 of 121 periods: 2014-01, 2014-02, ")
    assert message.endswith(", 2014-12, and 108 more")


def test_without_records_nothing_is_said() -> None:
    assert EmptyPeriods.of([]).messages() == ()
