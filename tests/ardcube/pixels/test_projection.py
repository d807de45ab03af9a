"""Projected coordinates: exact, and with the same bits in every window."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.projection import Coordinates
from ardcube.raster.header import Level
from tests.ardcube.kernels import numpy_kernels
from tests.grids import degrees_grid, projected
from tests.oracle import resampling as oracle
from tests.strategies import FEW, RANDOM, RESOLUTIONS, grid_at, windows


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize(
    ("lon", "lat", "crs"),
    [
        (15.0, 0.0, "EPSG:32633"),
        (12.0, 45.0, "EPSG:32633"),  # at the edge of the zone
        (14.9, 70.0, "EPSG:32633"),
        (17.9, 70.0, "EPSG:32634"),
        (-76.0, -45.0, "EPSG:32718"),
        (179.9, -17.0, "EPSG:32701"),  # across the antimeridian
    ],
)
def test_coordinates_and_steps_are_exact(lon: float, lat: float, crs: str, resolution: float) -> None:
    grid = grid_at(lon, lat, resolution, pixels=90 if resolution < 0.01 else 30)
    window = Window(0, grid.height, 0, grid.width).grow(5)
    found = projected(grid, window, crs).coordinates()
    exact = oracle.project(
        grid.x(np.arange(window.x0, window.x1)),
        grid.y(np.arange(window.y0, window.y1)),
        (resolution, -resolution),
        crs,
    )
    np.testing.assert_allclose(found.x, exact.x, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.y, exact.y, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.step_x, np.hypot(*exact.dx), rtol=1e-6)
    np.testing.assert_allclose(found.step_y, np.hypot(*exact.dy), rtol=1e-6)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@FEW
@given(data=st.data())
def test_a_pixel_has_the_same_coordinates_in_every_window(resolution: float, data: st.DataObject) -> None:
    grid = grid_at(14.3, 45.1, resolution, pixels=150)
    halo = 30
    whole = projected(grid, Window(0, grid.height, 0, grid.width).grow(halo + 1), "EPSG:32633").coordinates()
    window = data.draw(windows(grid, beyond=halo))
    part = projected(grid, window, "EPSG:32633").coordinates()
    where = (
        slice(window.y0 + halo + 1, window.y1 + halo + 1),
        slice(window.x0 + halo + 1, window.x1 + halo + 1),
    )
    for name in ("x", "y", "step_x", "step_y"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[where])


@pytest.mark.parametrize("corner", [(14.3, 45.1), (-0.1, -0.1), (-68.2, -33.3), (179.9, 10.0)])
@FEW
@given(data=st.data())
def test_a_pixel_has_the_same_coordinates_in_every_cube_of_the_resolution(
    corner: tuple[float, float], data: st.DataObject
) -> None:
    resolution = data.draw(st.sampled_from(RESOLUTIONS[:4]))
    large = grid_at(*corner, resolution, pixels=300)
    y0, x0 = data.draw(st.integers(0, 290)), data.draw(st.integers(0, 290))
    row, column, step = large.row, large.column, resolution
    small = degrees_grid((column + x0) * step, -(row + y0) * step, step, 10, 10)
    crs = f"EPSG:{32600 + round((corner[0] + 183) / 6)}"
    whole = projected(large, Window(0, 300, 0, 300), crs)
    part = projected(small, Window(0, 10, 0, 10), crs)
    where = slice(y0, y0 + 10), slice(x0, x0 + 10)
    for name in ("x", "y", "step_x", "step_y"):
        np.testing.assert_array_equal(
            getattr(part.coordinates(), name), getattr(whole.coordinates(), name)[where], err_msg=name
        )


def test_a_cropped_projection_equals_that_of_the_smaller_window() -> None:
    grid = grid_at(14.3, 45.1, 0.00025)
    window = Window(0, 40, 0, 50)
    cropped = projected(grid, window.grow(20), "EPSG:32633").crop(grid.to_global(window)).coordinates()
    direct = projected(grid, window, "EPSG:32633").coordinates()
    for name in ("x", "y", "step_x", "step_y"):
        np.testing.assert_array_equal(getattr(cropped, name), getattr(direct, name))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@FEW
@given(data=st.data(), rng=RANDOM)
def test_interpolated_coordinates_have_the_same_bits_as_in_numpy(
    resolution: float, data: st.DataObject, rng: np.random.Generator
) -> None:
    grid = grid_at(14.3, 45.1, resolution, pixels=100)
    window = data.draw(windows(grid, beyond=30))
    wanted = rng.random(window.shape) < data.draw(st.sampled_from([0.001, 0.5]))
    at = projected(grid, window, "EPSG:32633")
    compiled = at.coordinates(wanted=wanted)
    rows, columns = np.arange(at.window.y0, at.window.y1), np.arange(at.window.x0, at.window.x1)
    plain = Coordinates(*at.coordinates_at(rows, columns))
    for name in ("x", "y", "step_x", "step_y"):
        np.testing.assert_array_equal(getattr(compiled, name)[wanted], getattr(plain, name)[wanted])


@pytest.mark.parametrize(("side", "kind"), [(65_534, np.uint16), (65_535, np.uint32)])
def test_rows_and_columns_of_nearest_pixels_take_16_bits_where_these_are_enough(side: int, kind: type) -> None:
    grid = grid_at(14.3, 45.1, 1 / 3600, pixels=100)
    at = projected(grid, Window(0, 100, 0, 100), "EPSG:32633")
    centre = at.coordinates()
    # The raster covers the window's south-western quarter; its last row is at the bottom.
    x, y = float(np.median(centre.x)), float(np.median(centre.y))
    level = Level(0, side, 10_000, Affine(1.0, 0, x - 10_000, 0, -1.0, y), (512, 512))
    found = at.nearest_pixels(level)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, numpy_kernels.nearest_pixels(centre, level))
    outside = found[0] == np.iinfo(kind).max
    assert 0.7 < outside.mean() < 0.8


@FEW
@given(data=st.data())
def test_nearest_pixels_are_those_at_the_coordinates(data: st.DataObject) -> None:
    grid = grid_at(14.3, 45.1, 1 / 3600, pixels=100)
    at = projected(grid, data.draw(windows(grid, beyond=30)), "EPSG:32633")
    centre = at.coordinates()
    level = Level(0, 60, 50, Affine(20.0, 0, centre.x.min() + 100, 0, -20.0, centre.y.max() - 100), (64, 64))
    np.testing.assert_array_equal(at.nearest_pixels(level), numpy_kernels.nearest_pixels(centre, level))


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90.0), ("EPSG:3031", -90.0)])
@pytest.mark.parametrize("resolution", [0.001, 0.1])
def test_coordinates_are_exact_up_to_a_pole(crs: str, pole: float, resolution: float) -> None:
    rows = round(90.0 / resolution)
    grid = Grid.from_bounds((-30 * resolution, -90.0, 30 * resolution, 90.0), resolution)
    window = Window(0, 50, 0, 60) if pole > 0 else Window(2 * rows - 50, 2 * rows, 0, 60)
    found = projected(grid, window, crs).coordinates()
    lon, lat = np.meshgrid(grid.x(np.arange(60)), grid.y(np.arange(window.y0, window.y1)))
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    np.testing.assert_allclose(found.x, x, atol=1e-3)
    np.testing.assert_allclose(found.y, y, atol=1e-3)
