"""The map of chunk states: small for any number of chunks, with the most important state visible."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.planning.jobs import ChunkKey
from ardcube.report.state_map import (
    COLOURS,
    EMPTY,
    FAILED,
    MISSING,
    OUTSIDE,
    RETRIED,
    WRITTEN,
    chunk_states,
    count_states,
    done_percent,
    draw_states,
)
from ardcube.report.svg import WIDTH, Panel, draw_sheet
from tests.grids import degrees_grid

GRID = degrees_grid(10.0, 50.0, 0.001, 200, 300)


def record(period: str, row: int, col: int, status: Status, attempts: int = 1) -> ChunkRecord:
    tried = tuple(Attempt("2023-01-01T00:00:00+00:00", "here", 1.0) for _ in range(attempts))
    return ChunkRecord(ChunkKey(period, row, col), status, "hash", tried)


def pictures(svg: str) -> list[NDArray[np.uint8]]:
    """Decode the maps of a sheet: uint8 (4, y, x)."""
    found = []
    for text in re.findall('data:image/png;base64,([^"]+)', svg):
        with MemoryFile(base64.b64decode(text)) as memory, memory.open() as picture:
            found.append(picture.read())
    return found


def test_each_chunk_has_a_state_and_tiles_outside_have_none() -> None:
    tiles = GRID.tiles(100).where(np.array([0, 1, 2, 4]))
    records = [
        record("2023-01", 0, 0, "written"),
        record("2023-01", 0, 1, "empty"),
        record("2023-01", 0, 2, "failed", 3),
        record("2023-02", 0, 0, "written", 2),
        record("2019-01", 0, 0, "written"),
    ]
    states = chunk_states(["2023-01", "2023-02"], tiles, records)
    assert states.tolist() == [
        [[WRITTEN, EMPTY, FAILED], [OUTSIDE, MISSING, OUTSIDE]],
        [[RETRIED, MISSING, MISSING], [OUTSIDE, MISSING, OUTSIDE]],
    ]
    assert count_states(states) == {
        "written": 1, "empty": 1, "written after a retry": 1, "not built yet": 4, "failed": 1,
    }  # fmt: skip
    assert done_percent(states) == 37.5  # three of eight


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # PNG has no georeference
def test_one_failed_chunk_of_a_hundred_thousand_is_visible_on_a_map_of_some_kilobytes() -> None:
    states = np.full((120, 29, 29), WRITTEN, np.uint8)
    states[77, 28, 3] = FAILED
    periods = [f"{2015 + month // 12}-{month % 12 + 1:02d}" for month in range(120)]
    svg = draw_states(periods, states)
    assert len(svg) < 60_000
    assert "2015-01..2015-04" in svg
    red = np.array([*COLOURS[FAILED], 255])[:, None, None]
    reddish = [bool((picture == red).all(axis=0).any()) for picture in pictures(svg)]
    assert len(reddish) == 30
    assert [index for index, is_red in enumerate(reddish) if is_red] == [77 // 4]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # PNG has no georeference
def test_the_most_important_state_of_many_chunks_colours_their_square() -> None:
    states = np.full((1, 1000, 1000), WRITTEN, np.uint8)
    states[0, 500:, :] = MISSING
    states[0, 999, 999] = FAILED
    (picture,) = pictures(draw_states(["2023-01"], states))
    assert 440 <= max(picture.shape[1:]) <= 480  # one map is large
    assert tuple(picture[:3, 0, 0]) == COLOURS[WRITTEN]
    assert tuple(picture[:3, 270, 0]) == COLOURS[MISSING]
    assert (picture[:3] == np.array(COLOURS[FAILED])[:, None, None]).all(axis=0).any()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # PNG has no georeference
@pytest.mark.parametrize(("periods", "side"), [(1, 480), (2, 420), (6, 280), (12, 200), (36, 160)])
def test_few_periods_have_large_maps_with_the_proportions_of_their_latitude(periods: int, side: int) -> None:
    drawn = pictures(draw_states(["2023-01"] * periods, np.full((periods, 4, 4), WRITTEN, np.uint8), 0.5))
    assert {picture.shape for picture in drawn} == {(4, side, round(side / 8) * 4)}


@pytest.mark.parametrize("periods", [3, 12, 36])
def test_a_sheet_is_as_narrow_as_the_page_of_an_artifact(periods: int) -> None:
    states = np.resize(np.array([WRITTEN, EMPTY, RETRIED, MISSING, FAILED], np.uint8), (periods, 2, 4))
    (width,) = re.findall(r'<svg [^>]*?width="(\d+)"', draw_states(["2023-01"] * periods, states))
    assert int(width) <= 640


def test_a_long_legend_has_several_rows_below_the_pictures() -> None:
    svg = draw_sheet([Panel("2023-01", b"", 100, 100)], [("none", f"{number} clear days") for number in range(8)])
    (width, height), *boxes = (
        (int(a), int(b)) for a, b in re.findall(r'<(?:svg|rect)[^>]*? (?:width|x)="(\d+)" (?:height|y)="(\d+)"', svg)
    )
    assert width <= WIDTH + 20
    assert [x for x, _ in boxes].count(0) == 2
    assert 118 < min(y for _, y in boxes) < max(y for _, y in boxes) <= height - 12


def test_the_legend_names_only_the_states_of_the_map() -> None:
    svg = draw_states(["2023-01"], np.full((1, 2, 2), WRITTEN, np.uint8))
    assert "written" in svg
    assert "failed" not in svg
