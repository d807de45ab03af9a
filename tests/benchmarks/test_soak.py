"""The soak: its weather is the same for the same seed, and a short one ends with the right cube."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.weather import READING, Weather


def test_as_many_requests_fail_as_was_asked_for_and_the_same_ones_with_each_seed() -> None:
    one, other, third = (Weather(0.05, READING, seed) for seed in (1, 1, 2))
    fates = [[weather.next() for _ in range(4000)] for weather in (one, other, third)]
    assert fates[0] == fates[1] != fates[2]
    assert set(fates[0]) == {None, *READING}
    assert one.requests == 4000
    assert sum(one.failed.values()) == pytest.approx(200, abs=50)


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("prefect_server")
def test_a_short_soak_ends_with_the_cube_that_nothing_disturbed(tmp_path: Path) -> None:
    assert soak.main(["--short", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "soak.json").exists()
