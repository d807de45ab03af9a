"""The soak test: equal seeds give equal faults, and a short soak test ends with the right cube."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.weather import READING, Weather


def test_the_requested_share_of_requests_fails_and_equal_seeds_give_equal_faults() -> None:
    one, other, third = (Weather(0.05, READING, seed) for seed in (1, 1, 2))
    fates = [[weather.next() for _ in range(4000)] for weather in (one, other, third)]
    assert fates[0] == fates[1] != fates[2]
    assert set(fates[0]) == {None, *READING}
    assert one.requests == 4000
    assert sum(one.failed.values()) == pytest.approx(200, abs=50)


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("prefect_server")
def test_a_short_soak_gives_the_cube_of_a_build_without_faults(tmp_path: Path) -> None:
    assert soak.main(["--short", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "soak.json").exists()
