"""Windows of boxes, on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from pyproj import Transformer

from ardcube.errors import InputError
from ardcube.exporting.selection import select_window
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from tests.strategies import MANY, RANDOM, grids


@MANY
@given(grids(), RANDOM)
def test_a_window_has_each_pixel_that_the_box_meets(grid: Grid, random: np.random.Generator) -> None:
    west, south, east, north = grid.bounds
    xs, ys = np.sort(random.uniform(west, east, 2)), np.sort(random.uniform(south, north, 2))
    window = select_window(grid, (xs[0], ys[0], xs[1], ys[1]))
    left, bottom, right, top = grid.window_bounds(window)
    step, rounding = grid.lattice.step_x, 1e-5 * grid.lattice.step_x
    assert left - rounding <= xs[0] < left + step + rounding
    assert right - step - rounding < xs[1] <= right + rounding
    assert bottom - rounding <= ys[0] < bottom + step + rounding
    assert top - step - rounding < ys[1] <= top + rounding


def test_a_box_of_the_grid_is_the_grid() -> None:
    grid = Grid.from_bounds((15.0, 46.0, 15.5, 46.3), 0.01)
    assert select_window(grid, grid.bounds) == select_window(grid, None) == Window(0, 30, 0, 50)
    assert select_window(grid, (-180, -90, 180, 90)) == Window(0, 30, 0, 50)


def test_a_box_meets_a_grid_across_the_antimeridian_on_both_sides() -> None:
    grid = Grid.from_bounds((179.0, 0.0, 181.0, 1.0), 0.1)
    assert select_window(grid, (179.5, 0.0, 180.0, 1.0)) == Window(0, 10, 5, 10)
    assert select_window(grid, (-180.0, 0.0, -179.5, 1.0)) == Window(0, 10, 10, 15)


def test_a_box_in_degrees_is_projected_to_the_crs_of_the_grid() -> None:
    grid = Grid.from_bounds((500_000.0, 5_190_000.0, 510_000.0, 5_200_000.0), 100.0, "EPSG:32633")
    window = select_window(grid, (15.02, 46.88, 15.05, 46.92))
    bounds = Transformer.from_crs(4326, 32633, always_xy=True).transform_bounds(15.02, 46.88, 15.05, 46.92)
    left, bottom, right, top = grid.window_bounds(window)
    assert left <= bounds[0] < left + 100
    assert right - 100 < bounds[2] <= right
    assert bottom <= bounds[1] < bottom + 100
    assert top - 100 < bounds[3] <= top


def test_a_box_outside_the_grid_is_refused() -> None:
    grid = Grid.from_bounds((15.0, 46.0, 15.5, 46.3), 0.01)
    with pytest.raises(InputError, match="no pixel of the cube is in it"):
        select_window(grid, (15.5, 46.0, 16.0, 46.3))
