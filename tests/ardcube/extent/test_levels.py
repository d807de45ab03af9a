"""Grids of the levels of a pyramid."""

from __future__ import annotations

from hypothesis import given

from ardcube.extent.grid import Grid
from ardcube.extent.levels import level_grids
from tests.strategies import MANY, grids


@MANY
@given(grids(most=5000))
def test_levels_have_the_origin_of_the_grid_and_halve_until_they_are_small(grid: Grid) -> None:
    levels = level_grids(grid)
    assert levels[0] == grid
    assert max(levels[-1].height, levels[-1].width) < 512
    assert all(max(level.height, level.width) >= 512 for level in levels[:-1])
    a, _, west, _, e, north, *_ = grid.transform
    for number, level in enumerate(levels):
        assert tuple(level.transform)[:6] == (a * 2**number, 0, west, 0, e * 2**number, north)
        assert (level.height, level.width) == (-(-grid.height // 2**number), -(-grid.width // 2**number))
        assert level.axes == grid.axes
