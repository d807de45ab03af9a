"""The grid equals that of odc-geo, and its tiles partition it exactly."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox, GeoboxTiles

from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from tests.grids import degrees_grid
from tests.strategies import FEW, MANY, RESOLUTIONS, grids


@MANY
@given(grid=grids(), size=st.integers(16, 300))
def test_tiles_partition_the_array_exactly(grid: Grid, size: int) -> None:
    times_covered = np.zeros((grid.height, grid.width), np.uint8)
    tiles = list(grid.tiles(size))
    for tile in tiles:
        region = times_covered[tile.window.slices]
        assert region.shape == tile.window.shape
        region += 1
    assert (times_covered == 1).all()
    assert grid.tile_counts(size) == (tiles[-1].row + 1, tiles[-1].col + 1)
    assert len({(tile.row, tile.col) for tile in tiles}) == len(tiles)


@MANY
@given(y=st.integers(-50, 50), x=st.integers(-50, 50), height=st.integers(1, 90), width=st.integers(1, 90),
       most=st.integers(1, 40))  # fmt: skip
def test_a_window_is_split_into_windows_that_partition_it_and_have_the_requested_size(
    y: int, x: int, height: int, width: int, most: int
) -> None:
    window = Window(y, y + height, x, x + width)
    times_covered = np.zeros(window.shape, np.uint8)
    parts = list(window.split(most))
    for part in parts:
        region = times_covered[part.relative_to(window).slices]
        assert region.shape == part.shape
        assert 1 <= min(part.shape) <= max(part.shape) <= most
        region += 1
    assert (times_covered == 1).all()
    assert len(parts) == -(-height // most) * -(-width // most)


@MANY
@given(grid=grids(), size=st.integers(16, 300))
def test_tiles_start_at_multiples_of_their_size_and_only_edge_tiles_are_smaller(grid: Grid, size: int) -> None:
    expected = GeoboxTiles(grid.geobox, (size, size))
    for tile in grid.tiles(size):
        assert (tile.window.y0, tile.window.x0) == (tile.row * size, tile.col * size)
        assert tile.window.shape == (
            min(size, grid.height - tile.row * size),
            min(size, grid.width - tile.col * size),
        )
        assert expected[tile.row, tile.col].shape == tile.window.shape


@MANY
@given(
    west=st.floats(-180, 179),
    south=st.floats(-80, 79),
    width=st.floats(0.001, 1),
    height=st.floats(0.001, 1),
    resolution=st.sampled_from(RESOLUTIONS),
)
def test_extent_shape_and_coordinates_agree_with_odc_geo(
    west: float, south: float, width: float, height: float, resolution: float
) -> None:
    bounds = (west, south, west + width, south + height)
    grid = Grid.from_bounds(bounds, resolution)
    reference = GeoBox.from_bbox(bounds, crs="EPSG:4326", resolution=resolution)

    np.testing.assert_allclose(grid.transform, reference.affine, rtol=0, atol=1e-10)
    assert (grid.height, grid.width) == reference.shape
    np.testing.assert_allclose(grid.bounds, reference.boundingbox.bbox, rtol=0, atol=1e-10)
    lat, lon = (reference.coords[name].values for name in ("latitude", "longitude"))
    np.testing.assert_allclose(grid.y(np.arange(grid.height)), lat, rtol=0, atol=1e-10)
    np.testing.assert_allclose(grid.x(np.arange(grid.width)), lon, rtol=0, atol=1e-10)
    # Anchored to whole multiples of the resolution, so that neighbouring cubes share their pixels.
    for edge in (grid.bounds[0], grid.bounds[3]):
        assert edge / resolution == pytest.approx(round(edge / resolution), abs=1e-5)


@MANY
@given(grid=grids(), size=st.integers(16, 300), halo=st.integers(0, 40))
def test_a_pixel_has_the_same_coordinates_in_every_tile(grid: Grid, size: int, halo: int) -> None:
    lon = grid.x(np.arange(-halo, grid.width + halo))
    lat = grid.y(np.arange(-halo, grid.height + halo))
    for tile in grid.tiles(size):
        window = tile.window.grow(halo)
        np.testing.assert_array_equal(grid.x(np.arange(window.x0, window.x1)), lon[window.x0 + halo : window.x1 + halo])
        np.testing.assert_array_equal(grid.y(np.arange(window.y0, window.y1)), lat[window.y0 + halo : window.y1 + halo])


@MANY
@given(grid=grids(), shift=st.tuples(st.integers(-99, 99), st.integers(-99, 99)))
def test_a_pixel_has_the_same_coordinates_in_every_grid_of_the_resolution(grid: Grid, shift: tuple[int, int]) -> None:
    (down, right), row, column, step = shift, grid.row, grid.column, grid.lattice.step_x
    other = degrees_grid((column + right) * step, -(row + down) * step, step, grid.height, grid.width)
    assert (other.row, other.column) == (row + down, column + right)
    lon, lat = grid.x(np.arange(right, right + 50)), grid.y(np.arange(down, down + 50))
    np.testing.assert_array_equal(other.x(np.arange(50)), lon)
    np.testing.assert_array_equal(other.y(np.arange(50)), lat)
    window = Window(3, 40, 5, 60)
    moved = Window(3 + down, 40 + down, 5 + right, 60 + right)
    assert other.window_bounds(window) == grid.window_bounds(moved)
    assert other.grow(7).bounds == other.window_bounds(Window(-7, other.height + 7, -7, other.width + 7))


@FEW
@given(grid=grids(most=200), size=st.integers(16, 100))
def test_boxes_of_tiles_cover_the_grid_without_overlap(grid: Grid, size: int) -> None:
    boxes = [grid.window_outline(tile.window) for tile in grid.tiles(size)]
    whole = shapely.box(*grid.bounds)
    assert sum(box.area for box in boxes) == pytest.approx(whole.area)
    assert shapely.union_all(boxes).symmetric_difference(whole).area == pytest.approx(0, abs=1e-9)


def test_latitude_descends_and_longitude_ascends_from_the_centre_of_the_first_pixel() -> None:
    grid = Grid.from_bounds((10.0, 45.0, 10.5, 45.25), 0.125)
    assert grid.x(np.arange(4)).tolist() == [10.0625, 10.1875, 10.3125, 10.4375]
    assert grid.y(np.arange(2)).tolist() == [45.1875, 45.0625]
    assert grid.bounds == (10.0, 45.0, 10.5, 45.25)


def test_a_grid_across_the_antimeridian_has_increasing_longitudes_above_180() -> None:
    grid = Grid.from_bounds((179.0, -17.0, 181.0, -16.0), 0.01)
    assert (grid.height, grid.width) == (100, 200)
    lon = grid.x(np.arange(200))
    assert (lon[0], lon[-1]) == pytest.approx((179.005, 180.995))
    assert (np.diff(lon) > 0).all()


def test_a_window_grows_on_every_side_and_may_extend_beyond_the_grid() -> None:
    window = Window(0, 5, 10, 30)
    assert window.shape == (5, 20)
    assert window.grow(3) == Window(-3, 8, 7, 33)
    assert window.grow(3).grow(-3) == window


@MANY
@given(grid=grids(), size=st.integers(16, 300), halo=st.integers(0, 40))
def test_arrays_of_tiles_equal_the_values_of_each_tile(grid: Grid, size: int, halo: int) -> None:
    tiles = grid.tiles(size)
    every = list(tiles)
    assert [tiles[-1], *tiles[1:3]] == [every[-1], *every[1:3]]
    assert tiles.pixels.tolist() == [tile.window.shape[0] * tile.window.shape[1] for tile in every]
    expected = [grid.window_outline(tile.window.grow(halo)) for tile in every]
    assert shapely.equals_exact(tiles.outlines(halo), expected, 0).all()
    odd = tiles.where(tiles.cols % 2 == 1)
    assert list(odd) == [tile for tile in every if tile.col % 2 == 1]
