"""Pictures of a report page: pixels, transparency, position, and bounded reading."""

from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import ardcube.report.html.pictures
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import DEGREES, transformer
from ardcube.extent.window import Window
from ardcube.planning.jobs import ChunkKey
from ardcube.report.html.chunk_numbers import ChunkNumbers
from ardcube.report.html.pictures import LIMIT, Pictures, draw_pictures
from ardcube.report.html.position import position_of
from tests.ardcube.report.reported_cube import GRID, TILE, Reported, make
from tests.grids import degrees_grid


def draw(made: Reported, shown: list[int]) -> Pictures | None:
    records = list(made.ledger.records().values())
    labels = [period.label for period in made.cube.periods]
    numbers = ChunkNumbers.of(labels, made.cube.grid.tiles(TILE), records)
    return draw_pictures(made.place, made.cube, numbers.states, shown)


def decoded(address: str) -> NDArray[np.uint8]:
    content = base64.b64decode(address.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(BytesIO(content)).convert("RGBA"))


def test_pictures_show_red_green_and_blue_and_leave_unbuilt_chunks_transparent(tmp_path: Path) -> None:
    made = make(tmp_path, missing=[ChunkKey("2023-02", 1, 2)])
    drawn = draw(made, [0, 1, 2])
    assert drawn is not None
    assert (drawn.variable, drawn.bands, drawn.window) == ("rgb_median", ("red", "green", "blue"), Window(0, 64, 0, 96))
    first, second, last = (decoded(drawn.of[period].colours) for period in (0, 1, 2))
    assert first.shape == (64, 96, 4)
    assert (first[..., 3] == 255).all()
    hole = np.zeros((64, 96), bool)
    hole[16:32, 32:48] = True
    assert np.array_equal(second[..., 3] == 0, hole)
    red, green, blue = (first[..., band].astype(int) for band in range(3))
    assert red[60, 5] > red[5, 5] + 50  # red grows to the south, green to the east, blue with time
    assert green[5, 90] > green[5, 5] + 50
    assert last[30, 30, 2] > int(blue[30, 30]) + 50
    days = [decoded(drawn.of[period].clear_days) for period in (0, 1, 2)]
    assert len({tuple(one[0, 0]) for one in days}) == 3
    assert np.array_equal(days[1][..., 3] == 0, hole)


def test_the_first_band_is_grey_if_a_colour_is_missing(tmp_path: Path) -> None:
    made = make(tmp_path, months=1, bands=("nir", "red"))
    drawn = draw(made, [0])
    assert drawn is not None
    assert drawn.bands == ("nir",)
    picture = decoded(drawn.of[0].colours).astype(int)
    assert np.ptp(picture[..., :3], axis=-1).max() <= 4  # the codec rounds
    assert picture[60, 90, 0] > picture[3, 3, 0] + 100


def test_periods_are_sampled_if_all_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path, months=5, missing=[ChunkKey("2023-05", row, col) for row in range(4) for col in range(6)])
    monkeypatch.setattr(ardcube.report.html.pictures, "LIMIT", replace(LIMIT, tiles=60))  # 24 in each period
    drawn = draw(made, [0, 1, 2, 3, 4])
    assert drawn is not None
    assert list(drawn.of) == [0, 3]
    monkeypatch.setattr(ardcube.report.html.pictures, "LIMIT", replace(LIMIT, tiles=9))
    part = draw(made, [0, 1, 2, 3, 4])
    assert part is not None
    assert list(part.of) == [3]
    assert part.window.shape == (48, 48)


def test_a_cube_without_pixels_has_no_pictures(tmp_path: Path) -> None:
    made = make(tmp_path, months=1, missing=[ChunkKey("2023-01", row, col) for row in range(4) for col in range(6)])
    assert draw(made, [0]) is None


@pytest.mark.parametrize(
    "grid",
    [
        GRID,
        Grid.from_bounds((300_000.0, 5_000_000.0, 700_000.0, 5_600_000.0), 100.0, "EPSG:32633"),
        Grid.from_bounds((300_000.0, 7_900_000.0, 800_000.0, 8_000_000.0), 100.0, "EPSG:32601"),  # antimeridian
    ],
)
def test_longitude_and_latitude_are_interpolated_to_a_fraction_of_a_screen_pixel(grid: Grid) -> None:
    nodes = np.array(position_of(grid, Window(0, grid.height, 0, grid.width))["nodes"])
    last = len(nodes) - 1
    west, south, east, north = grid.bounds
    middle = (np.arange(last) + 0.5) / last
    for axis, tolerance in ((0, (east - west) / 1000), (1, (north - south) / 1000)):
        found = (nodes[:-1, :-1] + nodes[1:, :-1] + nodes[:-1, 1:] + nodes[1:, 1:])[..., axis] / 4
        xs, ys = np.meshgrid(west + middle * (east - west), north - middle * (north - south))
        exact = transformer(grid.lattice.crs, DEGREES).transform(xs, ys)[axis]
        error = np.abs((found - exact + 180) % 360 - 180)
        metres = error * 111_195 * (np.cos(np.radians(nodes[0, 0, 1])) if axis == 0 else 1)
        assert metres.max() < tolerance
    assert np.abs(np.diff(nodes[..., 0], axis=1)).max() < 180


def test_proportion_and_scale_bar_are_those_of_the_ground() -> None:
    grid = degrees_grid(10.0, 60.05, 0.001, 100, 200)
    position = position_of(grid, Window(0, 50, 0, 50))
    assert position["proportion"] == pytest.approx(1.0, rel=0.001)  # cosine of 60 degrees
    picture = position["picture"]
    assert [picture[edge] for edge in ("left", "top", "right", "bottom")] == [0, 0, 0.25, 0.5]
    metres = 50 * 0.001 * 111_195 * np.cos(np.radians(60.025))
    assert picture["bar_text"] == "1 km"
    assert picture["bar"] == pytest.approx(1000 / metres, abs=0.001)
