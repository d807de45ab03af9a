"""The benchmarks of cost: the fit of coefficients, the comparison of estimates, the continent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box

from ardcube.config import RunConfig
from ardcube.planning.cost.coefficients import FILE, Coefficients, shipped
from ardcube.planning.cost.figures import QUANTITIES, Range
from ardcube.planning.cost.work import Work
from ardcube.storage.place import Place
from benchmarks import coefficients, continent, estimates
from tests.servers.range_server import RangeServer

TRUE = Coefficients(
    definition="sentinel-2-c1-l2a", composite="median", metres=30.0, block=1024, cpu_per_process=0.8,
    cpu_per_fetch=0.001, cpu_per_mb=0.004, cpu_per_mpx=0.02, stored_share=0.5,
)  # fmt: skip


def measured(count: int) -> list[coefficients.Measurement]:
    """Return chunks that cost exactly what coefficients say; the first one also has the cost of its process."""
    numbers, found = np.random.default_rng(1), []
    for position in range(count):
        fetches, megabytes, clear = numbers.uniform(5, 60), numbers.uniform(1, 90), numbers.uniform(0.1, 30)
        work = Work(
            chunks=1, processes=float(position == 0), output=2e6, observed=1e6, arrays=2, opened=fetches / 2,
            header_bytes=fetches * 16_384, fetches=fetches, requests=2 * fetches, mask_bytes=1e5,
            band_bytes=1e6 * megabytes, clear=1e6 * clear,
        )  # fmt: skip
        case = coefficients.Case("sentinel-2-c1-l2a")
        found.append(coefficients.Measurement(case, work, TRUE.predict(work), 30.0, position == 0))
    return [replace(one, work=replace(one.work, processes=0.0)) for one in found]


def test_a_fit_finds_the_coefficients_of_chunks() -> None:
    chunks = measured(12)
    found = coefficients.fit(chunks, 1024)
    assert found.name == TRUE.name
    for name in ("cpu_per_process", "cpu_per_fetch", "cpu_per_mb", "cpu_per_mpx", "stored_share"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.02), name
    assert set(coefficients.errors(chunks, found)) == set(QUANTITIES)
    assert all(abs(error) < 0.01 for name, error in coefficients.errors(chunks, found).items() if name != "seconds")


def test_cases_with_and_without_a_mask_are_one_row() -> None:
    cases = [replace(one, case=case) for case in coefficients.CASES for one in measured(1)]
    groups = list(coefficients.grouped(cases))
    assert sum(map(len, groups)) == len(coefficients.CASES)
    assert [len(group) for group in groups][:3] == [2, 2, 2]


def test_the_file_of_the_package_has_a_row_for_each_group() -> None:
    document = json.loads((Path(coefficients.TARGET)).read_text())
    assert coefficients.TARGET.name == FILE
    rows = {(row["definition"], row["composite"]) for row in document["rows"]}
    assert rows >= {(case.definition, case.composite.partition(":")[0]) for case in coefficients.CASES}
    assert len(shipped()) == len(document["rows"])


def test_an_estimate_is_compared_with_the_counted_figure() -> None:
    (cube, *_) = estimates.CUBES
    row = estimates.row(cube, "coefficients", "received", Range(80, 120, 150), 100)
    assert row["error"] == pytest.approx(0.2)
    assert row["in range"]
    assert not estimates.row(cube, "coefficients", "received", Range(110, 120, 150), 100)["in range"]


def test_items_of_a_catalogue_are_served_from_its_server(tmp_path: Path) -> None:
    item = {"type": "Feature", "id": "a", "assets": {"red": {"href": "./B04.tif"}}}
    (tmp_path / "archive" / "a").mkdir(parents=True)
    (tmp_path / "archive" / "a" / "a.json").write_text(json.dumps(item))
    (tmp_path / "archive" / "collection.json").write_text(json.dumps({"type": "Collection", "id": "made"}))
    with RangeServer(tmp_path / "archive") as server:
        folder = estimates.served(server, tmp_path / "archive", tmp_path / "catalogue")
        written = json.loads((folder / "a.json").read_text())
        assert written["assets"]["red"]["href"] == f"{server.url}/a/B04.tif"


def test_a_part_of_the_continent_is_planned_and_estimated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(continent, "LAND", box(-60, -10, -59, -9))
    monkeypatch.setattr(continent, "BOUNDS", (-61.0, -11.0, -58.0, -8.0))
    run = RunConfig(
        fsspec_uri="memory://part", yes=True, serverless_backend="coiled", workers=10, price_per_core_hour=1
    )
    plan, cost = continent.estimated(run, Place.at(str(tmp_path / "part.zarr")))
    granules = list(continent.granules())
    assert 4 <= len(granules) <= 9
    assert len(plan.scenes["2023-08"]) == len(granules) * continent.DATES
    assert len(plan.jobs) == 81
    assert cost.money is not None
    assert 0 < cost.money.low < cost.money.likely < cost.money.high
    assert cost.bytes_to_read.likely > 1e9
