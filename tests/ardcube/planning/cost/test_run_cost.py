"""The counted cost of a run next to its estimate."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ardcube.ledger.ledger import Ledger
from ardcube.ledger.run_costs import NAME, add_run, read_runs
from ardcube.planning.cost.figures import Prices, Range, Used
from ardcube.planning.cost.run_cost import RunCost, UsedSum
from ardcube.report.cost_rows import run_rows
from ardcube.storage.place import Place

COST = RunCost(
    chunks=2, square_km=500.0, megapixels=3.0, seconds=30.0,
    used=Used(cpu_seconds=4.0, seconds=7200.0, requests=3000.0, received=2e9, stored=1e6, objects=4.0),
    expected={"cpu_seconds": Range(1, 2, 3), "seconds": Range(1, 2, 3), "requests": Range(1, 2, 3),
              "received": Range(1, 2, 3), "stored": Range(1, 2, 3), "objects": Range(1, 2, 3)},
    basis="coefficients: x", prices=Prices(0.5, 0.25, 0.1),
)  # fmt: skip


def test_a_run_states_rates_and_money() -> None:
    assert COST.square_km_per_minute == 1000
    assert COST.megapixels_per_second == 0.1
    assert COST.money == pytest.approx(2 * 0.5 + 2 * 0.25 + 3 * 0.1)
    assert COST.money_per_1000_square_km == pytest.approx(3.6)
    rows = {name: (counted, expected) for name, counted, expected in run_rows(COST)}
    assert rows["CPU"] == ("4 s", "2 s (1 s to 3 s)")
    assert rows["read"][0] == "2 GB"
    assert rows["money"][0] == "1.8, 3.6 per 1,000 km2"


def test_an_unknown_figure_is_not_zero() -> None:
    total = UsedSum()
    total.add(Used(cpu_seconds=1.0, requests=5.0))
    total.add(Used(cpu_seconds=2.0))
    assert total.total() == Used(cpu_seconds=3.0)
    unknown = replace(COST, used=total.total())
    assert unknown.money is None
    assert unknown.money_per_1000_square_km is None
    rows = {name: counted for name, counted, _ in run_rows(unknown)}
    assert rows["requests"] == rows["read"] == rows["money"] == "unknown"
    assert UsedSum().total() == Used(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_ledger_keeps_the_costs_of_the_last_runs() -> None:
    ledger = Ledger(Place.at("memory://costs/cube.zarr.ardcube"))
    assert read_runs(ledger) == []
    for chunks in range(1, 103):
        add_run(ledger, replace(COST, chunks=chunks))
    runs = read_runs(ledger)
    assert [run.chunks for run in runs] == [*range(3, 103)]
    assert replace(runs[-1], chunks=2) == COST
    unknown = replace(COST, used=Used(), expected={}, prices=Prices())
    add_run(ledger, unknown)
    assert read_runs(ledger)[-1] == unknown


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"3", b"[1]", b"[{}]", *(json.dumps([COST.to_document() | change]).encode() for change in (
        {"seconds": float("nan")}, {"used": {"cpu_seconds": "x"}}, {"used": 1}, {"prices": {"per_gb": float("inf")}},
        {"expected": {"cpu_seconds": [1]}},
    ))],
)  # fmt: skip
def test_a_damaged_file_is_ignored(damaged: bytes) -> None:
    ledger = Ledger(Place.at("memory://damaged/cube.zarr.ardcube"))
    ledger.place.write(NAME, damaged)
    assert read_runs(ledger) == []
    add_run(ledger, COST)
    assert read_runs(ledger) == [COST]


def test_a_figure_of_another_type_is_refused() -> None:
    document: dict[str, Any] = COST.to_document()
    document["used"]["requests"] = True
    with pytest.raises(ValueError, match="not finite"):
        RunCost.from_document(document)
