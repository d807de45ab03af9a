"""Clipping: a pixel is inside if its centre is, tested in the CRS of the geometries, whatever the window."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Polygon

from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.extent.area import load_area
from ardcube.extent.clip import Clip
from ardcube.extent.clip_grid import GridClip
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from tests.oracle.polygons import covered
from tests.strategies import FEW

UTM = "EPSG:32633"
FORMATS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile", ".geojson": "GeoJSON"}


def star(x: float, y: float, radius: float, vertices: int = 40, seed: int = 0) -> Polygon:
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    length = radius * np.random.default_rng(seed).uniform(0.3, 1, vertices)
    return Polygon(np.stack([x + length * np.cos(angle), y + length * np.sin(angle)], axis=1))


def clip_of(*shapes: shapely.Geometry, crs: str = UTM) -> Clip:
    return Clip.of(shapes, crs, "a geometry")


def whole(grid: Grid) -> Window:
    return Window(0, grid.height, 0, grid.width)


def inside(clip: Clip, grid: Grid, window: Window | None = None) -> NDArray[np.bool_]:
    window = window or whole(grid)
    found = GridClip(clip, grid).inside(window)
    return np.ones(window.shape, bool) if found is None else found


def centres(grid: Grid, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.meshgrid(grid.x(np.arange(grid.width)), grid.y(np.arange(grid.height)))
    return Transformer.from_crs(grid.lattice.crs, crs, always_xy=True).transform(x, y)


@st.composite
def small_polygons(draw: st.DrawFn) -> list[Polygon]:
    """Generate polygons, some with a hole, whose vertices and edges often meet pixel centres; they may overlap."""
    polygons = []
    for _ in range(draw(st.integers(1, 4))):
        corners = draw(st.lists(st.tuples(st.integers(0, 44), st.integers(0, 44)), min_size=3, max_size=9))
        hull = shapely.convex_hull(shapely.MultiPoint(corners))
        if isinstance(hull, Polygon):
            polygons.append(hull)
            west, south, east, north = hull.bounds
            hole = shapely.box(west + 8, south + 8, east - 8, north - 8)
            if draw(st.booleans()) and hole.is_valid and hull.contains_properly(hole):
                polygons[-1] = Polygon(hull.exterior, [hole.exterior])
    return polygons


@FEW
@given(small_polygons(), st.integers(0, 15), st.integers(0, 15))
def test_a_centre_on_an_edge_or_a_vertex_is_inside(polygons: list[Polygon], row: int, col: int) -> None:
    """In whole numbers, with pixels of 2 units whose centres are whole numbers."""
    grid = Grid.from_bounds((0, 0, 44, 44), 2, UTM)
    window = Window(row, min(22, row + 11), col, min(22, col + 11))
    x, y = np.meshgrid(grid.x(np.arange(grid.width)), grid.y(np.arange(grid.height)))
    expected = covered(polygons, x, y)
    if polygons:
        clip = clip_of(*polygons)
        assert np.array_equal(inside(clip, grid), expected)
        assert np.array_equal(inside(clip, grid, window), expected[window.slices])


WAYS = {
    "one CRS": (UTM, star(500_000, 5_100_000, 9_000), UTM, (490_000, 5_090_000, 510_000, 5_110_000), 50),
    "degrees to metres": ("EPSG:4326", star(15, 46.05, 0.1), UTM, (490_000, 5_090_000, 510_000, 5_110_000), 50),
    "metres to degrees": (UTM, star(500_000, 5_100_000, 9_000), "EPSG:4326", (14.9, 45.95, 15.1, 46.15), 0.0007),
    "another datum": ("EPSG:4230", star(15, 46.05, 0.1), "EPSG:4326", (14.9, 45.95, 15.1, 46.15), 0.0007),
    "a continent": ("EPSG:3035", star(4.3e6, 3.2e6, 2e6), "EPSG:4326", (-20, 30, 45, 70), 0.2),
    "around a pole": ("EPSG:3413", star(0, 0, 3e6), "EPSG:3995", (-3e6, -3e6, 3e6, 3e6), 15_000),
    "a pole in degrees": ("EPSG:3031", star(0, 0, 2e6), "EPSG:4326", (-180, -90, 180, -60), 0.5),
    "a cap in degrees": ("EPSG:4326", shapely.box(-180, 70, 180, 90), "EPSG:3413", (-4e6, -4e6, 4e6, 4e6), 25_000),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_pixels_are_those_whose_centres_are_inside_in_the_crs_of_the_file(way: str) -> None:
    crs, polygon, grid_crs, bounds, step = WAYS[way]
    grid = Grid.from_bounds(bounds, step, grid_crs)
    x, y = centres(grid, crs)
    expected = shapely.intersects_xy(polygon, x, y)
    assert 0.1 < expected.mean() < 0.95
    clip = clip_of(polygon, crs=crs)
    assert np.array_equal(inside(clip, grid), expected)
    some = (slice(0, None, 37), slice(0, None, 41))
    assert np.array_equal(expected[some], covered([polygon], x[some], y[some]))
    tiles = [tile for tile in grid.tiles(16) if expected[tile.window.slices].any()]
    assert list(GridClip(clip, grid).tiles(16)) == tiles


FIJI = {
    "cut": [shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -179.25, -16)],
    "beyond 180": [shapely.box(179.5, -17, 180.75, -16)],
    "below -180": [shapely.box(-180.5, -17, -179.25, -16)],
}


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269"])
@pytest.mark.parametrize("shapes", list(FIJI))
@pytest.mark.parametrize("grid", [
    Grid.from_bounds((179, -18, 181, -15), 0.03),
    Grid.from_bounds((-181, -18, -179, -15), 0.03),
    Grid.from_bounds((50_000, 8_060_000, 400_000, 8_300_000), 2500, "EPSG:32701"),
])  # fmt: skip
def test_geometries_across_the_antimeridian_clip_in_any_longitudes(grid: Grid, shapes: str, crs: str) -> None:
    lon, lat = centres(grid, crs)
    expected = (lat >= -17) & (lat <= -16) & (lon % 360 >= 179.5) & (lon % 360 <= 180.75)
    assert 0.05 < expected.mean() < 0.5
    assert np.array_equal(inside(clip_of(*FIJI[shapes], crs=crs), grid), expected)


def test_overlapping_geometries_and_nested_collections_count_once() -> None:
    grid = Grid.from_bounds((0, 0, 100, 100), 1, UTM)
    first, second = shapely.box(10, 10, 60, 60), shapely.box(40, 40, 90, 90)
    nested = shapely.GeometryCollection([shapely.MultiPolygon([first]), shapely.Point(95, 5)])
    found = inside(clip_of(nested, second, shapely.LineString([(0, 0), (99, 0)])), grid)
    assert found.sum() == 2 * 50 * 50 - 20 * 20


def test_a_window_that_is_wholly_inside_needs_no_array() -> None:
    grid = Grid.from_bounds((490_000, 5_090_000, 510_000, 5_110_000), 10, UTM)
    clip = GridClip(clip_of(shapely.box(14.8, 45.9, 15.2, 46.2), crs="EPSG:4326"), grid)
    assert clip.inside(whole(grid)) is None
    assert len(clip.tiles(100)) == len(grid.tiles(100))


def test_the_fingerprint_is_that_of_the_coordinates_not_of_the_file(tmp_path: Path) -> None:
    shapes = [star(15, 46, 0.1, seed=seed) for seed in range(3)]
    turned = [shapely.reverse(shapes[2]), shapely.force_3d(shapes[0], 7.0), shapes[1]]
    clips = []
    for suffix, order in ((".gpkg", shapes), (".gpkg", turned), (".shp", shapes)):
        file = tmp_path / f"{len(clips)}{suffix}"
        geopandas.GeoDataFrame(geometry=order, crs="EPSG:4326").to_file(file, driver=FORMATS[suffix])
        config = CubeConfig(start_date="2023-01", end_date="2023-01", geometry_file=str(file), clip=True)
        clips.append(load_area(config).clip)
    assert len({clip.fingerprint for clip in clips if clip}) == 1
    assert clips[0] == Clip.from_json(clips[0].to_json())
    moved = clip_of(*shapes[:2], shapely.affinity.translate(shapes[2], 1e-13), crs="EPSG:4326")
    assert moved.fingerprint != clips[0].fingerprint


def test_a_polygon_beyond_the_edge_of_its_map_is_refused(tmp_path: Path) -> None:
    """Its pixels have other eastings: a Mercator easting of 20.2 million is at -178.5 degrees."""
    with pytest.raises(InputError, match=r"outside of the range of its CRS.*ogr2ogr -t_srs EPSG:4326"):
        clip_of(shapely.box(19.9e6, -1e6, 20.2e6, 1e6), crs="EPSG:3857")
    edge = 20037508.342789244
    assert len(clip_of(shapely.box(-edge, -edge, edge, edge), crs="EPSG:3857").polygons) == 1
