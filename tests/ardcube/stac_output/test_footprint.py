"""Footprints of cubes: projected, across the antimeridian, of some tiles, around a pole."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from ardcube.extent.grid import Grid
from ardcube.stac_output.footprint import Footprint


def test_a_grid_in_degrees_has_its_edges() -> None:
    found = Footprint.of(Grid.from_bounds((15.0, 46.0, 15.5, 46.3), 0.01).tiles(16))
    assert found.bbox == (15.0, 46.0, 15.5, 46.3)
    assert shapely.geometry.shape(found.geometry).equals(shapely.box(15.0, 46.0, 15.5, 46.3))


def test_a_projected_grid_has_bent_sides() -> None:
    grid = Grid.from_bounds((300_000, 5_000_000, 700_000, 5_400_000), 1000, "EPSG:32633")
    found = Footprint.of(grid.tiles(100))
    area = shapely.geometry.shape(found.geometry)
    back = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    x, y = back.transform(*shapely.get_coordinates(area).T)
    ring = shapely.box(*grid.bounds).exterior
    assert shapely.distance(shapely.points(x, y), ring).max() < 0.05  # metres; vertices are rounded to centimetres
    lon, lat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(500_000, 5_400_000)
    assert found.bbox[3] == pytest.approx(max(lat, area.bounds[3]))  # the middle of the upper side, not a corner
    assert shapely.distance(shapely.Point(lon, lat), area.exterior) < 1e-6
    assert found.bbox == area.bounds


@pytest.mark.parametrize(
    ("bounds", "resolution", "crs"),
    [
        ((179.5, -17.0, 180.5, -16.0), 0.01, "EPSG:4326"),
        ((700_000, 8_100_000, 900_000, 8_200_000), 100, "EPSG:32760"),  # UTM 60S, east of 180 degrees at its right edge
    ],
)
def test_a_cube_across_the_antimeridian_is_cut(
    bounds: tuple[float, float, float, float], resolution: float, crs: str
) -> None:
    found = Footprint.of(Grid.from_bounds(bounds, resolution, crs).tiles(1000))
    area = shapely.geometry.shape(found.geometry)
    west, _, east, _ = found.bbox
    assert area.geom_type == "MultiPolygon"
    assert area.is_valid
    assert west > 0 > east  # by RFC 7946
    parts = sorted(part.bounds for part in area.geoms)
    assert [parts[0][0], parts[-1][2]] == [-180.0, 180.0]
    assert (parts[-1][0], parts[0][2]) == (west, east)


def test_the_footprint_is_that_of_the_tiles_that_are_built() -> None:
    grid = Grid.from_bounds((15.0, 46.0, 15.4, 46.4), 0.01)
    tiles = grid.tiles(20)
    assert Footprint.of(tiles.where(np.array([0]))).bbox == (15.0, 46.2, 15.2, 46.4)
    ends = shapely.geometry.shape(Footprint.of(tiles.where(np.array([0, 3]))).geometry)
    assert ends.geom_type == "MultiPolygon"
    assert ends.area == pytest.approx(0.08)


def test_a_cube_around_a_pole_has_all_longitudes() -> None:
    grid = Grid.from_bounds((-1_000_000, -1_000_000, 1_000_000, 1_000_000), 10_000, "EPSG:3413")
    found = Footprint.of(grid.tiles(1000))
    assert (found.bbox[0], found.bbox[2], found.bbox[3]) == (-180.0, 180.0, 90.0)
    assert shapely.geometry.shape(found.geometry).is_valid
