"""Numbers of the chunks of a report page, and their cells."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray

import ardcube.report.html.chunk_numbers
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period, calendar_periods
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.report.html.cells import MOST_CELLS, cells_of
from ardcube.report.html.chunk_numbers import ChunkNumbers, PeriodSums
from ardcube.report.html.series import steps_of, total_of
from ardcube.report.state_map import FAILED, MISSING, OUTSIDE, RETRIED, WRITTEN
from tests.ardcube.report.reported_cube import written
from tests.grids import degrees_grid

GRID = degrees_grid(10.0, 50.0, 0.01, 24, 40)
"""Two rows and three columns of tiles of 16 pixels; the last ones have 8."""
PERIODS = ("2023-01", "2023-02")


def failed(key: ChunkKey, error: str = "TransientError: time-out") -> ChunkRecord:
    return ChunkRecord(key, "failed", "h", (Attempt("t", "here", 2.0, error), Attempt("t", "here", 3.0, error)))


def numbers_of(*records: ChunkRecord, grid: Grid = GRID) -> ChunkNumbers:
    return ChunkNumbers.of(PERIODS, grid.tiles(16), records)


def test_each_chunk_has_the_numbers_of_its_record() -> None:
    retried = written(ChunkKey("2023-01", 0, 1), 2.5)
    retried = replace(retried, attempts=(*retried.attempts, *retried.attempts))
    numbers = numbers_of(written(ChunkKey("2023-01", 0, 0), 4.0), retried, failed(ChunkKey("2023-02", 1, 2)))
    assert numbers.states.tolist() == [
        [[WRITTEN, RETRIED, MISSING], [MISSING] * 3],
        [[MISSING] * 3, [MISSING, MISSING, FAILED]],
    ]
    assert numbers.clear_days[0, 0, :2].tolist() == [4.0, 2.5]
    assert numbers.scenes[0, 0, :2].tolist() == [2, 2]
    assert numbers.attempts[0, 0, :2].tolist() == [1, 2]
    assert numbers.seconds[0, 0, :2].tolist() == [1.5, 3.0]
    assert (numbers.attempts[1, 1, 2], numbers.seconds[1, 1, 2]) == (2, 5.0)
    assert numbers.errors == ("TransientError: time-out",)
    assert (numbers.error == 0).sum() == 1
    for array in (numbers.scenes, numbers.clear_days):
        assert np.isnan(array).sum() == 10  # a failed chunk has no composite
    assert np.isnan(numbers.seconds).sum() == 9
    assert numbers.stages == {"mask": 1.0, "bands": 2.0}


def test_sums_of_a_period_weight_chunks_by_their_pixels() -> None:
    large, small = ChunkKey("2023-01", 0, 0), ChunkKey("2023-01", 1, 2)  # 256 and 64 pixels
    numbers = numbers_of(written(large, 1.0), written(small, 6.0), failed(ChunkKey("2023-02", 0, 0)))
    periods = calendar_of(2)
    first, second = steps_of(numbers, periods)
    assert first.clear_days == pytest.approx((256 * 1.0 + 64 * 6.0) / 320)
    assert (first.scenes, first.observed, first.seconds, first.bytes_read) == (2, 1.0, 3.0, 2_000_000)
    assert first.chunks == {WRITTEN: 2, MISSING: 4}
    assert (second.clear_days, second.observed, second.seconds) == (None, None, 5.0)
    total = total_of(numbers, periods)
    assert (total.chunks, total.seconds) == ({WRITTEN: 2, MISSING: 9, FAILED: 1}, 8.0)


def calendar_of(months: int) -> tuple[Period, ...]:
    return calendar_periods(date(2023, 1, 1), date(2023 + (months - 1) // 12, (months - 1) % 12 + 1, 1), 1)


def test_records_outside_the_plan_are_ignored() -> None:
    tiles = GRID.tiles(16).where(np.array([0, 1]))
    keys = [ChunkKey("2023-01", row, col) for row, col in ((1, 1), (7, 0), (0, 9))]
    records = [written(key, 9.0) for key in (*keys, ChunkKey("2024-01", 0, 0))]
    numbers = ChunkNumbers.of(PERIODS, tiles, records)
    assert np.isnan(numbers.clear_days).all()
    assert sum(total.observed.pixels for total in numbers.periods) == 0


def test_different_errors_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ardcube.report.html.chunk_numbers, "_MOST_ERRORS", 2)
    numbers = numbers_of(*(failed(ChunkKey("2023-01", 0, col), f"Error: {'abc'[col]}") for col in range(3)))
    assert len(numbers.errors) == 3
    assert "ardcube status --chunks" in numbers.errors[2]
    assert numbers.error[0, 0].tolist() == [0, 1, 2]


def test_a_long_time_axis_is_summed_in_steps() -> None:
    periods = calendar_of(500)
    tiles = degrees_grid(10.0, 50.0, 0.01, 16, 16).tiles(16)
    records = [written(ChunkKey(period.label, 0, 0), 2.0) for period in periods]
    steps = steps_of(ChunkNumbers.of([period.label for period in periods], tiles, records), periods)
    assert len(steps) == 167
    assert (steps[0].label, steps[-1].first) == ("2023-01 to 2023-03", 498)
    assert sum(step.seconds for step in steps) == 500 * 1.5
    assert {step.clear_days for step in steps} == {2.0}


def random_numbers(periods: int, rows: int, cols: int) -> ChunkNumbers:
    random = np.random.default_rng(3)
    states = random.integers(0, 6, (periods, rows, cols)).astype(np.uint8)
    seconds: NDArray[np.float32] = random.random(states.shape).astype(np.float32)
    seconds[(states == OUTSIDE) | (states == MISSING)] = np.nan
    error = np.where(states == FAILED, 0, -1).astype(np.int32)
    sums = tuple(PeriodSums() for _ in range(periods))
    return ChunkNumbers(states, seconds * 3, seconds * 2, seconds, np.ceil(seconds), error, ("e",), sums, {})


def test_cells_of_a_small_cube_are_its_chunks() -> None:
    numbers = random_numbers(2, 2, 3)
    cells = cells_of(numbers, GRID, 16, [1])
    assert (cells["step"], cells["rows"], cells["cols"]) == (1, 2, 3)
    assert cells["x"] == [0, 0.4, 0.8, 1.0]
    assert cells["y"] == [0, 16 / 24, 1.0]
    (shown,) = cells["periods"]
    assert shown["state"] == numbers.states[1].ravel().tolist()
    for value, cell in zip(numbers.seconds[1].ravel(), shown["seconds"], strict=True):
        assert (cell is None) == bool(np.isnan(value))
        assert cell is None or cell == pytest.approx(value, abs=0.006)


def test_cells_of_a_large_cube_are_bounded_and_show_the_worst_state() -> None:
    numbers, grid = random_numbers(3, 310, 350), degrees_grid(10.0, 50.0, 0.01, 310 * 4, 350 * 4)
    cells = cells_of(numbers, grid, 4, [0, 1, 2])
    step, rows, cols = cells["step"], cells["rows"], cells["cols"]
    assert step > 1
    assert 3 * rows * cols <= MOST_CELLS
    assert (len(cells["x"]), len(cells["y"]), cells["x"][-1], cells["y"][-1]) == (cols + 1, rows + 1, 1, 1)
    for period, shown in enumerate(cells["periods"]):
        for cell in (0, cols - 1, rows * cols - 1, rows * cols // 2):
            row, col = divmod(cell, cols)
            part = np.s_[period, row * step : (row + 1) * step, col * step : (col + 1) * step]
            states, seconds = numbers.states[part], numbers.seconds[part]
            assert shown["state"][cell] == states.max()
            assert shown["chunks"][cell] == (states != OUTSIDE).sum()
            assert shown["failed"][cell] == (states == FAILED).sum()
            assert shown["missing"][cell] == (states == MISSING).sum()
            assert shown["seconds"][cell] == pytest.approx(np.nansum(seconds), abs=0.01)
            assert shown["days"][cell] == pytest.approx(2 * np.nanmean(seconds), abs=0.01)
        assert sum(shown["seconds"]) == pytest.approx(np.nansum(numbers.seconds[period]), rel=1e-3)
