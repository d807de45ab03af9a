"""Previews: the newest periods of a cube, or a part of one, at a bounded cost."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from rasterio.io import MemoryFile

import ardcube.report.preview
from ardcube.config import CubeConfig
from ardcube.config.encoding import CubeEncoding
from ardcube.extent.periods import calendar_periods
from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.preview import LIMIT, Preview, draw_preview
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import EMPTY, MISSING, WRITTEN
from ardcube.storage.place import Place
from tests.ardcube.report.test_quicklook import ramp, write_store
from tests.grids import degrees_grid

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # PNG has no georeference


def cube(times: int, rows: int, columns: int) -> StoredCube:
    """Describe the cube of `write_store`: tiles of 16 pixels, monthly from 2023-11."""
    months = calendar_periods(date(2023, 11, 1), date(2026, 12, 1), 1)[:times]
    config = CubeConfig(
        start_date=months[0].start, end_date=months[-1].start, bbox=(10, 49, 11, 50), resolution=0.001, chunk_size=16
    )
    return StoredCube(
        config, {}, "f", CubeEncoding(offset=-0.1), degrees_grid(10.0, 50.0, 0.001, rows, columns), months
    )


def pictures(svg: str | None) -> list[NDArray[np.uint8]]:
    assert svg is not None
    found = []
    for text in re.findall('data:image/png;base64,([^"]+)', svg):
        with MemoryFile(base64.b64decode(text)) as memory, memory.open() as picture:
            found.append(picture.read())
    return found


def preview(place: Place, cube: StoredCube, states: NDArray[np.uint8]) -> Preview:
    found = draw_preview(CubeSnapshot(place, {}, cube, states))
    assert found is not None
    return found


def maps(svg: str) -> list[NDArray[np.uint8]]:
    """Return the maps of a sheet without their frames: the largest part without the grey of the border."""
    found = []
    for picture in pictures(svg):
        line = (picture[:3] == 150).all(axis=0)
        rows, cols = np.flatnonzero(line.mean(axis=1) > 0.3), np.flatnonzero(line.mean(axis=0) > 0.3)
        found.append(picture[:, rows[0] + 1 : rows[-1], cols[0] + 1 : cols[-1]])
    return found


def legend(svg: str) -> dict[str, str]:
    """Return the colours of a sheet's legend by their texts."""
    return {text: colour for colour, text in re.findall(r'fill="([^"]+)"/><text[^>]*>([^<]+)<', svg)}


def test_the_newest_periods_with_written_chunks_are_shown(tmp_path: Path) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=9), ["red", "green", "blue", "nir"])
    states = np.full((9, 3, 4), WRITTEN, np.uint8)
    states[8], states[7] = MISSING, EMPTY
    drawn = preview(Place.at(uri), cube(9, 40, 60), states)
    for svg in (drawn.colours, drawn.clear_days):
        assert re.findall(r"<text[^>]*>([\d-]+)<", svg) == [
            "2023-12", "2024-01", "2024-02", "2024-03", "2024-04", "2024-05",
        ]  # fmt: skip
        assert {picture.shape for picture in maps(svg)} == {(4, 280, 270)}


def test_only_written_chunks_are_read(tmp_path: Path) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=1), ["red", "green", "blue", "nir"])
    states = np.full((1, 3, 4), WRITTEN, np.uint8)
    states[0, 1, 2] = MISSING
    drawn = preview(Place.at(uri), cube(1, 40, 60), states)
    for svg in (drawn.colours, drawn.clear_days):
        (picture,) = maps(svg)
        rows, cols = (
            (np.arange(picture.shape[1]) + 0.5) * 40 // picture.shape[1],
            (np.arange(picture.shape[2]) + 0.5) * 60 // picture.shape[2],
        )
        missing = np.ix_((rows >= 16) & (rows < 32), (cols >= 32) & (cols < 48))
        seen = picture[3] > 0
        assert not seen[missing].any()
        seen[missing] = True
        assert seen.all()
    assert legend(drawn.clear_days)["not built"] == "none"
    assert legend(drawn.colours) == {"no clear pixel, or not built": "none"}


def test_empty_chunks_have_no_clear_day_and_no_colours(tmp_path: Path) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=1), ["red", "green", "blue", "nir"])
    states = np.full((1, 3, 4), EMPTY, np.uint8)
    states[0, 0, 0] = WRITTEN
    drawn = preview(Place.at(uri), cube(1, 40, 60), states)
    assert (maps(drawn.clear_days)[0][3] == 255).all()
    assert 0 < (maps(drawn.colours)[0][3] == 255).mean() < 0.2
    assert "not built" not in legend(drawn.clear_days)
    assert legend(drawn.colours) == {"no clear pixel": "none"}


def test_clear_days_are_coloured_by_number_with_a_legend(tmp_path: Path) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=1), ["red", "green", "blue", "nir"])
    group = zarr.open_group(uri, use_consolidated=False)
    counts = np.zeros((1, 40, 60), np.uint16)
    counts[0, 10:], counts[0, 30:] = 3, 7
    group["observation_count"][...] = counts
    svg = preview(Place.at(uri), cube(1, 40, 60), np.full((1, 3, 4), WRITTEN, np.uint8)).clear_days
    colours = {
        int(text.split()[0]): [int(part) for part in re.findall(r"\d+", colour)] for text, colour in legend(svg).items()
    }
    assert list(colours) == [0, 1, 3, 4, 6, 7]
    (picture,) = maps(svg)
    high = picture.shape[1]
    for share, number in ((0.1, 0), (0.5, 3), (0.9, 7)):
        assert picture[:3, int(high * share), 5].tolist() == colours[number]


def test_of_a_large_cube_the_part_with_most_written_chunks_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ardcube.report.preview, "LIMIT", replace(LIMIT, pixels=32 * 32))
    numbers = ramp(times=2, rows=96, columns=96)
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue", "nir"])
    states = np.full((2, 6, 6), EMPTY, np.uint8)
    states[1, 3:5, 2:5] = WRITTEN
    svg = preview(Place.at(uri), cube(2, 96, 96), states).colours
    assert "2023-12, a part" in svg
    (picture,) = maps(svg)
    assert (picture[3] > 0).all()
    _, high, wide = picture.shape
    rows, cols = (2 * np.arange(high) + 1) * 32 // (2 * high), (2 * np.arange(wide) + 1) * 32 // (2 * wide)
    part = numbers[1, 48:80, 32:64, 0][np.ix_(rows, cols)]
    assert np.corrcoef(picture[0].ravel(), part.ravel())[0, 1] > 0.9


def test_a_cube_without_written_chunks_has_no_preview(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path / "none.zarr"))
    assert draw_preview(CubeSnapshot(place, {}, cube(2, 40, 60), np.full((2, 3, 4), EMPTY, np.uint8))) is None
