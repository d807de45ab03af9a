"""The page of a run: request, outcome and cost; small, escaped and without secrets."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from ardcube.config import CubeConfig
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.planning.jobs import ChunkKey
from ardcube.report.causes import CauseCounter
from ardcube.report.page import MOST_ROWS, ended_page, problem_note, problem_rows, stopped_page
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import FAILED, WRITTEN
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary, LeftOut
from ardcube.storage.place import Place

CONFIG = CubeConfig(start_date=date(2014, 1, 1), end_date=date(2023, 12, 31), bbox=(10, 40, 20, 50), resolution=0.01)
CUBE = StoredCube(CONFIG, {}, "f", -0.1, Grid(10.0, 50.0, 0.01, 1000, 1000),
                  calendar_periods(CONFIG.start_date, CONFIG.end_date, 1))  # fmt: skip
FAILED_STATES = np.full((120, 1, 1), FAILED, np.uint8)
WELL = BuildSummary("u", 100_000, 0, 100_000, 0, 0, 0, 0, 5_000, 144.0, 7200.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path / "alps.zarr"))


def tally_of(hours: float) -> Tally:
    tally, key = Tally(), ChunkKey("2023-01", 0, 0)
    attempt = Attempt("2023-01-01T00:00:00+00:00", "here", hours * 3600)
    tally.add(key, ChunkRecord(key, "written", "h", (attempt,), seconds={"bands": 3.0, "mask_bands": 1.0}))
    return tally


def page(place: Place, states: np.ndarray, summary: BuildSummary, price: float | None = None) -> str:
    return ended_page(CubeSnapshot(place, {}, CUBE, states), summary, tally_of(50), price, None)


def test_skipped_scenes_are_listed_with_their_reason(place: Place) -> None:
    states = np.full((120, 29, 29), WRITTEN, np.uint8)
    bad = tuple(LeftOut(f"S2A_{number}", 1000 - number, "red.tif?sig=secret | 404\nnot found") for number in range(150))
    text = page(place, states, replace(WELL, left_out=bad))
    assert "| Scenes left out | 150, see below |" in text
    assert "| S2A_0 | 1000 | red.tif" in text
    assert "404 not found |" in text
    assert "| and 50 more | | |" in text
    assert "## Scenes left out" not in page(place, states, WELL)


def test_a_page_of_a_hundred_thousand_chunks_is_small_and_states_their_cost(place: Place) -> None:
    states = np.full((120, 29, 29), WRITTEN, np.uint8)
    text = page(place, states, WELL)
    assert len(text) < 80_000
    assert text.startswith("# alps: 100000 written, 0 empty, 0 failed\nThe cube is complete: ")
    assert "2014-01 to 2023-12, 120 periods of a month" in text
    assert "1000 x 1000 pixels of 0.01 degrees" in text
    # The page is narrow: a long line would hide the address.
    assert f"\nimport xarray\n\ncube = xarray.open_zarr('{place.path}')\n" in text
    assert "| Time | 2 h 0 min |" in text
    assert "| Throughput | 0.02 Mpx/s" in text
    assert "bands 75%, mask bands 25%" in text
    assert "ardcube retry" not in text


HOSTILE = "a|b`c`[d](javascript:e)<script>f</script> *g* &amp; \\\\"
"""Every character that means something in Markdown or HTML."""


def html_of(text: str) -> str:
    return str(MarkdownIt().enable("table").render(text))


def cells(page: str) -> list[list[str]]:
    """Text of the cells of each row of a page in HTML."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [
        [html.unescape(re.sub(r"</?code>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows
    ]


def test_names_are_shown_literally_and_add_no_markup(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"collection": f"{HOSTILE}\n## h", "geometry_file": f"/{HOSTILE}"})
    summary = replace(WELL, left=1, left_out=(LeftOut(HOSTILE, 2, f"{HOSTILE}\n\n# h"),))
    hostile, plain = (
        html_of(
            ended_page(CubeSnapshot(place, {}, replace(CUBE, config=of), FAILED_STATES), summary, Tally(), 1.0, None)
        )
        for place, of in (
            (Place.at(str(tmp_path / "a|b`c[d](e)<script>*.zarr")), config),
            (Place.at(str(tmp_path / "alps.zarr")), CONFIG),
        )
    )
    assert "<script" not in hostile
    assert [hostile.count(tag) for tag in ("<h1", "<h2", "<a ", "<em", "<img", "<tr")] == [
        plain.count(tag) for tag in ("<h1", "<h2", "<a ", "<em", "<img", "<tr")
    ]
    shown = {row[0]: row[1] for row in cells(hostile) if row}
    assert shown["Scenes from"].endswith(f", {HOSTILE} ## h")
    assert shown["Store"].strip() == f"{tmp_path}/a|b`c[d](e)<script>*.zarr"
    assert [HOSTILE, "2", f"{HOSTILE} # h"] in cells(hostile)


def test_a_cost_is_shown_only_with_a_price(place: Place) -> None:
    states = np.full((120, 1, 1), WRITTEN, np.uint8)
    assert "50 core-hours; set `price_per_core_hour`" in page(place, states, WELL)
    assert "about 2.5: 50 core-hours of 0.05 each" in page(place, states, WELL, 0.05)


@pytest.mark.parametrize(
    ("uri", "options", "store"),
    [
        (
            "s3://cubes/alps 1.zarr",
            {"anon": True},
            "[s3://cubes/alps 1.zarr](https://s3.console.aws.amazon.com/s3/buckets/cubes?prefix=alps%201.zarr/)",
        ),
        ("s3://cubes/alps.zarr", {"endpoint_url": "http://127.0.0.1:1"}, "`s3://cubes/alps.zarr`"),
        ("memory://cubes/alps.zarr", {}, "`memory://cubes/alps.zarr`"),
    ],
)
def test_the_store_is_a_link_if_a_browser_can_open_it(
    monkeypatch: pytest.MonkeyPatch, uri: str, options: dict[str, Any], store: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    text = stopped_page(CubeSnapshot(Place.at(uri, options), options, CUBE, FAILED_STATES), "Crashed")
    assert f"| Store | {store} |" in text


def test_the_page_of_an_incomplete_cube_shows_the_retry_command(place: Place) -> None:
    states = np.full((120, 1, 1), FAILED, np.uint8)
    text = page(place, states, replace(WELL, failed=7))
    assert "**incomplete**" in text
    assert f"`ardcube retry {place.path}`" in text
    assert f"`ardcube retry {place.path} --missing`" in page(place, states, replace(WELL, left=7))
    stopped = stopped_page(CubeSnapshot(place, {"anon": True}, CUBE, states), "Crashed")
    assert stopped.startswith("# alps: crashed\n")
    refused = stopped_page(CubeSnapshot(place, {}, CUBE, states), "Stopped", "s3://b: no space; set a quota")
    assert refused.startswith("# alps: stopped\ns3://b: no space; set a quota.\n\nFinished chunks stay")
    assert f"`ardcube retry {place.path} --storage-option anon='true' --missing`" in stopped


def test_a_table_has_a_limited_length_states_omitted_rows_and_contains_no_secret(place: Place) -> None:
    counter = CauseCounter()
    for col in range(5_000):
        scene = f"S2A_{col % 200}"
        problem = f"https://h/{scene}/B04.tif?sig=SECRET cannot be read: " + "x" * 1000
        attempt = Attempt("2023-01-01T00:00:00+00:00", "here", 1.0, f"SceneError: {problem}", True, {scene: problem})
        counter.add(ChunkKey("2023-01", 0, col), attempt)
    summary = replace(WELL, failed=5_000, causes=counter.causes())
    rows = problem_rows(summary, Tally())
    assert len(rows) == MOST_ROWS
    assert "SECRET" not in str(rows)
    assert max(len(row["cause"]) for row in rows) < 350
    assert {row["chunks"] for row in rows} == {25}
    note = problem_note(place, {}, summary, Tally())
    assert note.startswith("5000 chunks failed, ")
    assert f"The first {MOST_ROWS} causes of each are shown." in note
    assert f"`ardcube status {place.path} --chunks` lists the failed chunks." in note
    assert f"`ardcube retry {place.path}`" in note
