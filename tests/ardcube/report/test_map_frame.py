"""Frames of maps: text and scale bar around unchanged pixels, and world files that fit the drawn pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from ardcube.report.map_frame import MapPosition, _corner, draw_frame, scale_bar
from ardcube.report.png import encode_png
from tests.grids import degrees_lattice


def picture(rows: int, cols: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (4, rows, cols)).astype(np.uint8)


@pytest.mark.unit
@pytest.mark.parametrize(("rows", "cols"), [(300, 500), (40, 900), (800, 12), (1, 1)])
def test_the_map_is_unchanged_and_the_frame_is_around_it(rows: int, cols: int) -> None:
    drawn = picture(rows, cols)
    framed, (top, left) = draw_frame(
        drawn, MapPosition(degrees_lattice(0.001), 11.92, 46.83, 12.08, 46.91), "2023-06-01 to 2023-06-30"
    )
    np.testing.assert_array_equal(framed[:, top : top + rows, left : left + cols], drawn)
    assert (framed[3, :top] == 255).all()
    assert (framed[0, :top] < 100).any()  # text
    assert (framed[0, top + rows + 2 :] < 100).any()


def test_the_world_file_places_the_map_where_gdal_expects_it(tmp_path: Path) -> None:
    position = MapPosition(degrees_lattice(0.001), 10.0, 49.5, 11.0, 50.0)
    framed, origin = draw_frame(picture(100, 200), position, "2023-06")
    (tmp_path / "map.png").write_bytes(encode_png(framed))
    (tmp_path / "map.pgw").write_text(position.world_file((100, 200), origin))
    with rasterio.open(tmp_path / "map.png") as raster:
        top, left = origin
        np.testing.assert_allclose(raster.transform @ (left, top), (10.0, 50.0), atol=1e-9)
        np.testing.assert_allclose(raster.transform @ (left + 200, top + 100), (11.0, 49.5), atol=1e-9)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("metres", "width", "text"),
    [(30.0, 400, "2 km"), (10.0, 320, "1 km"), (0.5, 300, "50 m"), (3000.0, 900, "1000 km")],
)
def test_ascale_bar_has_a_round_length_of_less_than_half_the_picture(metres: float, width: int, text: str) -> None:
    pixels, shown = scale_bar(metres, width)
    assert shown == text
    number, unit = text.split()
    assert abs(pixels * metres - float(number) * (1000 if unit == "km" else 1)) <= metres / 2
    assert width * 0.15 <= pixels <= width * 0.4 + 1


@pytest.mark.unit
def test_the_scale_is_that_of_the_central_latitude() -> None:
    """At 60 degrees a degree of longitude is half as wide, so the bar of a length is twice as long."""
    bars = []
    for south in (-0.05, 59.95):
        framed, (top, _) = draw_frame(
            picture(200, 400), MapPosition(degrees_lattice(0.001), 10.0, south, 10.1, south + 0.1), "x"
        )
        row = framed[0, top + 200 + 17 + 8]
        bars.append(int((row[:200] < 100).sum()))
    metres = [0.1 * 111_195 * math.cos(math.radians(latitude)) / 400 for latitude in (0, 60)]
    for bar, step, length in zip(bars, metres, (2000, 2000), strict=True):
        assert abs(bar * step - length) < 3 * step + 0.1 * length


@pytest.mark.unit
@pytest.mark.parametrize(
    ("latitude", "longitude", "text"),
    [
        (-16.5, 181.0, "16.5000° S  179.0000° W"),
        (46.0, 15.0, "46.0000° N  15.0000° E"),
        (0.0, -3.25, "0.0000° N  3.2500° W"),
    ],
)
def test_corners_are_named_by_hemisphere_also_across_the_antimeridian(
    latitude: float, longitude: float, text: str
) -> None:
    assert _corner(longitude, latitude, 0.5) == text
