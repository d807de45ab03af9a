"""Areas of windows in degrees: they hold all pixels, whatever the CRS."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Transformer
from shapely.affinity import translate

from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.pixels.footprint import PixelCentres

GRIDS = {
    "degrees": Grid(Lattice("EPSG:4326", 0.0, 0.0, 0.01, -0.01), -4700, 1100, 90, 130),
    "degrees across 180": Grid(Lattice("EPSG:4326", 0.0, 0.0, 0.01, -0.01), 1650, 17_950, 90, 130),
    "UTM": Grid(Lattice("EPSG:32633", 0.0, 0.0, 60.0, -60.0), -86_000, 7_000, 300, 400),
    "UTM across 180": Grid(Lattice("EPSG:32701", 0.0, 0.0, 100.0, -100.0), -81_000, 1_500, 200, 300),
    "UTM in the north": Grid(Lattice("EPSG:32633", 0.0, 0.0, 1000.0, -1000.0), -9_200, 300, 300, 400),
    "pole": Grid(Lattice("EPSG:3413", 0.0, 0.0, 5000.0, -5000.0), -150, -100, 300, 260),
    "near a pole": Grid(Lattice("EPSG:3031", 0.0, 0.0, 500.0, -500.0), -300, 20, 250, 260),
    "all of Antarctica": Grid(Lattice("EPSG:3031", 0.0, 0.0, 10_000.0, -10_000.0), -300, -300, 600, 600),
    "LAEA of Europe": Grid(Lattice("EPSG:3035", 0.0, 0.0, 10_000.0, -10_000.0), -550, 250, 400, 400),
    "up to the edge of a map": Grid(Lattice("EPSG:6933", 0.0, 0.0, 50_000.0, -50_000.0), -145, -347, 290, 694),
    "Earth in equal areas": Grid(Lattice("EPSG:6933", 0.0, 0.0, 50_000.0, -50_000.0), -140, -340, 280, 680),
}


@pytest.mark.unit
@pytest.mark.parametrize("name", GRIDS)
def test_the_area_of_each_tile_holds_its_pixels_and_little_more(name: str) -> None:
    grid = GRIDS[name]
    to_degrees = Transformer.from_crs(grid.lattice.crs, "EPSG:4326", always_xy=True)
    tiles = grid.tiles(64)
    outlines = tiles.outlines()
    west, east = grid.longitudes
    assert east - west <= 361
    for tile, outline in zip(tiles, outlines, strict=True):
        assert outline.equals(grid.window_outline(tile.window))
        x, y = np.meshgrid(
            grid.x(np.arange(tile.window.x0, tile.window.x1)), grid.y(np.arange(tile.window.y0, tile.window.y1))
        )
        lon, lat = to_degrees.transform(x, y)
        lon = lon - 360.0 * np.floor((lon - west) / 360.0)
        assert shapely.intersects_xy(outline, lon, lat).all()
    if "pole" not in name and "Antarctica" not in name:
        areas = shapely.area(outlines)
        assert areas.sum() < 1.1 * grid.outline.area


@pytest.mark.unit
def test_a_grid_beyond_the_edge_of_a_map_is_refused() -> None:
    grid = Grid(Lattice("EPSG:6933", 0.0, 0.0, 50_000.0, -50_000.0), -150, -347, 300, 694)
    with pytest.raises(InputError, match="EPSG:6933: ends within the grid of the cube; choose a smaller area"):
        _ = grid.outline


@pytest.mark.unit
@pytest.mark.parametrize("name", GRIDS)
def test_pixels_within_an_area_are_those_whose_centre_is(name: str) -> None:
    """Tested pixel by pixel, with the area at all longitudes."""
    grid = GRIDS[name]
    to_degrees = Transformer.from_crs(grid.lattice.crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(grid.x(np.arange(grid.width)), grid.y(np.arange(grid.height))))
    middle = grid.height // 2, grid.width // 3
    area = shapely.Point(lon[middle], lat[middle]).buffer(3.3)
    near = lon - 360.0 * np.round((lon - lon[middle]) / 360.0)
    right = shapely.contains_xy(area, near, lat)
    west, east = grid.longitudes
    copies = [translate(area, 360.0 * turn) for turn in (-1, 0, 1)]
    placed = shapely.union_all([copy for copy in copies if copy.bounds[0] <= east and copy.bounds[2] >= west])
    found = PixelCentres.of(grid, Window(0, grid.height, 0, grid.width)).within(placed)
    assert right.any()
    np.testing.assert_array_equal(found, right)
