"""Pixel centres within polygons."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from ardcube.extent.window import Window
from ardcube.pixels.footprint import PixelCentres
from tests.grids import degrees_grid
from tests.strategies import FEW

GRID = degrees_grid(10.0, 50.0, 0.01, 200, 200)
points = st.tuples(st.floats(9.5, 12.5), st.floats(47.5, 50.5))


def polygon(corners: list[tuple[float, float]]) -> BaseGeometry:
    return shapely.convex_hull(shapely.MultiPoint(corners)).buffer(0.02)


@FEW
@given(
    outline=st.lists(points, min_size=1, max_size=6),
    hole=st.lists(points, min_size=1, max_size=4),
    top=st.integers(-5, 190),
    left=st.integers(-5, 190),
    height=st.integers(1, 130),
    width=st.integers(1, 130),
)
def test_each_centre_is_tested_as_if_alone(
    outline: list[tuple[float, float]],
    hole: list[tuple[float, float]],
    top: int,
    left: int,
    height: int,
    width: int,
) -> None:
    window = Window(top, top + height, left, left + width)
    centres = PixelCentres.of(GRID, window)
    lon, lat = GRID.x(np.arange(left, left + width)), GRID.y(np.arange(top, top + height))
    for shape in (polygon(outline), polygon(outline) - polygon(hole)):
        expected = shapely.contains_xy(shape, *np.meshgrid(lon, lat))
        np.testing.assert_array_equal(centres.within(shape), expected)


@pytest.mark.parametrize("edge", [10.005, 10.315, 10.325])
def test_a_centre_on_the_outline_is_outside(edge: float) -> None:
    window = Window(0, 64, 0, 64)
    lon = GRID.x(np.arange(64))
    column = int(np.abs(lon - edge).argmin())
    within = PixelCentres.of(GRID, window).within(shapely.box(lon[column], 49.0, lon[-1] + 1, 51.0))
    assert not within[:, : column + 1].any()
    assert within[:, column + 1 :].all()
