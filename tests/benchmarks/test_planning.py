"""The benchmark of planning: a small plan has the requested size, and a worker finds the same scenes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import planning
from benchmarks.made_up_items import made_up_items


def test_a_small_plan_is_measured_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "result.json"
    planning.main(["--chunks", "60", "--items", "40", "--periods", "3", "--output", str(output)])
    result = json.loads(output.read_text())
    assert result["options"] == {"chunks": 60, "items": 40, "periods": 3}
    assert [step["name"] for step in result["steps"]][1:3] == [
        "search and parse items",
        "join to jobs, write manifests",
    ]
    assert all(step["peak_mb"] > 0 for step in result["steps"])
    assert "| join to jobs, write manifests |" in capsys.readouterr().out


@pytest.mark.parametrize(("items", "pages"), [(600, 2), (2000, 4)])
def test_requests_are_one_per_page(items: int, pages: int) -> None:
    """Each of two periods has `pages` pages and the empty page of the last `next` link."""
    counted = planning.count_requests(2, items)
    assert counted == {"periods": 2, "items": items, "requests": 2 * (pages + 1)}


def test_generated_items_are_equal_each_time() -> None:
    bounds = (0.0, 0.0, 5.0, 5.0)
    first, second = (
        list(made_up_items(5, bounds, planning.START, planning.START.replace(month=2), seed=1)) for _ in "ab"
    )
    assert first == second
    assert len({item["id"] for item in first}) == 5
