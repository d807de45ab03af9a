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
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.ledger.stored_cube import StoredCube
from ardcube.planning.jobs import ChunkKey
from ardcube.report.causes import CauseCounter
from ardcube.report.page import MOST_ROWS, about_problems, about_summary, ended_page, problem_page, stopped_page
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import FAILED, WRITTEN
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary, LeftOut
from ardcube.storage.place import Place
from tests.grids import degrees_grid

CONFIG = CubeConfig(start_date=date(2014, 1, 1), end_date=date(2023, 12, 31), bbox=(10, 40, 20, 50), resolution=0.01)
CUBE = StoredCube(CONFIG, {}, "f", CubeEncoding(offset=-0.1), degrees_grid(10.0, 50.0, 0.01, 1000, 1000),
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
    of_icechunk = replace(CUBE, identity={"storage_backend": "icechunk"})
    other = ended_page(CubeSnapshot(place, {}, of_icechunk, states), WELL, tally_of(50), None, None)
    assert f"\nimport ardcube\n\ncube = ardcube.open('{place.path}')\n" in other
    assert "open_zarr" not in other
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


def test_the_summary_links_the_report_page_or_names_its_command(place: Place) -> None:
    states = np.full((120, 1, 1), WRITTEN, np.uint8)
    assert f"`ardcube report {place.path} --output report.html` writes a page" in page(place, states, WELL)
    local = page(place, states, replace(WELL, report="/cubes/alps.zarr.ardcube/report.html"))
    assert "Report page: `/cubes/alps.zarr.ardcube/report.html`." in local
    served = html_of(page(place, states, replace(WELL, report="https://x.org/a b.zarr.ardcube/report.html")))
    assert (
        '<a href="https://x.org/a%20b.zarr.ardcube/report.html">https://x.org/a b.zarr.ardcube/report.html</a>'
        in served
    )


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


def bad_scenes(scenes: int, chunks: int) -> CauseCounter:
    """Count chunks, each of which could not read one of some scenes."""
    counter = CauseCounter()
    for col in range(chunks):
        scene = f"S2A_{col % scenes}"
        problem = f"https://h/{scene}/B04.tif?sig=SECRET cannot be read: " + "x" * 1000
        attempt = Attempt("2023-01-01T00:00:00+00:00", "here", 1.0, f"SceneError: {problem}", True, {scene: problem})
        counter.add(ChunkKey("2023-01", 0, col), attempt)
    return counter


def test_the_page_of_failures_has_a_limited_length_states_omitted_causes_and_contains_no_secret(place: Place) -> None:
    causes = bad_scenes(200, 5_000).causes()
    text = problem_page(place, {}, replace(WELL, failed=5_000, causes=causes), Tally())
    assert text is not None
    assert text.startswith("# alps: 5,000 chunks of 100000 failed\n")
    listed = re.findall(r"^\* \*\*25 chunks\*\*, the first is `2023-01_y0000_x\d{4}`: scene S2A_\d+: (.*)$", text, re.M)
    assert len(listed) == MOST_ROWS
    assert "or add `--skip-bad-scenes 200` (" in text
    assert max(map(len, listed)) < 350
    assert "SECRET" not in text
    assert f"\n* and {200 - MOST_ROWS} more causes\n" in text
    assert f"`ardcube status {place.path} --chunks` lists the chunks of each cause." in text
    assert f"`ardcube retry {place.path}`" in text


def test_causes_are_text_of_full_width_followed_by_what_to_do_in_every_interface(place: Place) -> None:
    causes = bad_scenes(1, 4).causes()
    summary = replace(WELL, failed=4, causes=causes)
    snapshot = CubeSnapshot(place, {}, CUBE, FAILED_STATES, causes)
    for text in (problem_page(place, {}, summary, Tally()), ended_page(snapshot, summary, Tally(), None, None)):
        assert text is not None
        shown = html_of(text)
        assert "<li><strong>4 chunks</strong>, the first is <code>2023-01_y0000_x0000</code>: scene S2A_0: " in shown
        what_to_do = shown[shown.index("<h2>What to do</h2>") :]
        assert what_to_do.index("Replace the file, or add <code>--skip-bad-scenes") < what_to_do.index("ardcube retry")
        names = "(<em>Skip bad scenes</em> in the form, <code>skip_bad_scenes</code> in Python)."
        assert f"<code>--skip-bad-scenes 1</code> {names}" in what_to_do


def test_errors_that_a_further_attempt_avoided_are_listed_without_anything_to_do(place: Place) -> None:
    tally = Tally(retried=2, recovered=bad_scenes(1, 2))
    text = problem_page(place, {}, WELL, tally)
    assert text is not None
    assert text.startswith("# alps: 2 chunks took more than one attempt\n")
    assert "## Built after a further attempt\n\n* **2 chunks**, the first is `2023-01_y0000_x0000`" in text
    assert "What to do" not in text
    assert about_problems(WELL, tally) == "2 chunks took more than one attempt: causes."
    assert problem_page(place, {}, WELL, Tally()) is None


def test_the_description_of_an_artifact_begins_with_the_outcome() -> None:
    failed = replace(WELL, failed=14, written=8, empty=2)
    assert about_summary(failed).startswith("Incomplete: 14 failed, 8 written, 2 empty. ")
    assert about_summary(WELL).startswith("Complete: 100,000 written. ")
    assert about_summary(replace(WELL, written=0)).startswith("Complete: nothing to build. ")
    assert about_summary(replace(WELL, left=1)).startswith("Incomplete: 100,000 written, 1 left. ")
    assert about_problems(replace(failed, causes=bad_scenes(1, 2).causes()), Tally()).startswith("14 chunks failed: ")
