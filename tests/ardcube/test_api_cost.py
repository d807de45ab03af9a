"""The cost of a plan and of a build, by the Python API."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import ardcube
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.run_costs import read_runs
from ardcube.storage.place import Place
from tests.ardcube.api_cube import cube_of


def test_a_build_counts_its_cost_and_a_later_plan_uses_it(sample_archive: Path, tmp_path: Path) -> None:
    cube = cube_of(sample_archive, cloud_mask="scl")
    store = tmp_path / "cube.zarr"
    summary = ardcube.build(cube, store, threads=2)
    cost = summary.cost
    assert cost is not None
    assert cost.chunks == summary.written + summary.empty
    records = Ledger.of_store(Place.at(str(store))).records().values()
    assert cost.used.requests == sum(record.statistics["requests"] for record in records)
    assert cost.used.received == sum(record.byte_counts["received"] for record in records)
    assert cost.used.cpu_seconds == pytest.approx(sum(record.statistics["cpu_seconds"] for record in records))
    assert cost.used.objects == sum(file.is_file() for file in store.glob("[ro]*/c/**/*"))
    assert read_runs(Ledger.of_store(Place.at(str(store)))) == [cost]
    assert cost.expected["requests"].likely > 0

    planned = ardcube.plan(cube, like_cube=store, threads=2, price_per_core_hour=0.5)
    assert planned.cost.basis == "ledger"
    assert cost.used.received is not None
    assert planned.cost.bytes_to_read.likely == pytest.approx(cost.used.received, rel=0.05)
    assert planned.cost.hours is not None
    assert planned.cost.hours.likely == pytest.approx(planned.cost.core_hours.likely / 2)
    assert planned.cost.money == planned.cost.core_hours.times(0.5)
    page = ardcube.write_report(store, tmp_path / "report.html").read_text()
    assert "Cost of the last run" in page
    assert "km2/min" in page
    with pytest.raises(ardcube.InputError, match=r"like-cube .* has cloud mask scl instead of none; name a cube"):
        ardcube.plan(cube_of(sample_archive), like_cube=store)


def test_a_calibration_builds_chunks_and_leaves_nothing(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cube = cube_of(sample_archive, cloud_mask="scl")
    first, again = (ardcube.plan(cube, calibrate=3, threads=1).cost for _ in range(2))
    assert (first.basis, first.about) == ("calibration", "3 chunks built at random")
    assert first.from_coefficients == ()
    assert first.cube_bytes.likely == pytest.approx(again.cube_bytes.likely, rel=0.01)  # the same chunks
    assert list(tmp_path.iterdir()) == []
