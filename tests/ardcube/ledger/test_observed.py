"""Clear days and observed shares of several chunks."""

from __future__ import annotations

from typing import Any

import pytest

from ardcube.ledger.observed import Observed
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey

KEY = ChunkKey("2023-01", 0, 0)


def chunk(status: Any = "written", **statistics: float) -> ChunkRecord:
    return ChunkRecord(KEY, status, "h", (), scenes=("S2A",), statistics=statistics)


def test_chunks_are_weighted_by_their_pixels_and_empty_chunks_count() -> None:
    observed = Observed()
    observed.add(chunk(mean_clear_days=3.0, observed_share=1.0), 300)
    observed.add(chunk("empty", mean_clear_days=0.0, observed_share=0.0), 100)
    observed.add(chunk(pixels=100, mean_clear_days=1.0, observed_share=0.5), 900)  # clipped: 100 of 900 pixels
    assert (observed.pixels, observed.clear_days, observed.share) == (500, 2.0, 0.7)
    assert Observed.sum_of([observed, Observed(), observed]).clear_days == 2.0


def test_unknown_observations_are_not_zero() -> None:
    observed = Observed()
    observed.add(chunk(), 100)  # without statistics
    observed.add(chunk("failed", mean_clear_days=0.0, observed_share=0.0), 100)
    assert (observed.clear_days, observed.share, observed.filled_share) == (None, None, None)
    observed.add(chunk(mean_clear_days=0.5, observed_share=0.5, filled=25.0), 100)
    assert (observed.clear_days, observed.share, observed.filled_share) == (0.5, 0.5, 0.25)
    assert Observed.sum_of([Observed(), observed]).filled_share == pytest.approx(0.25)
