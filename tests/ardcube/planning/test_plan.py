"""The plan: its tiles and its estimate."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.planning.estimate import estimate
from ardcube.planning.jobs import ChunkJobs, jobs_of_period
from ardcube.planning.plan import CubePlan, tiles_meeting
from tests.strategies import FEW, cube_spec, grids, raster_band, scene

GRID = Grid.from_bounds((15.0, 46.0, 15.4, 46.2), 0.001)
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


# ---- tiles ---------------------------------------------------------------------------------------


@FEW
@given(grid=grids(most=300), size=st.integers(16, 120))
def test_without_a_mask_every_tile_is_built(grid: Grid, size: int) -> None:
    assert list(tiles_meeting(grid, size, None)) == list(grid.tiles(size))


def test_with_a_mask_only_the_tiles_that_intersect_it_are_built() -> None:
    diagonal = shapely.LineString([(15.01, 46.19), (15.39, 46.01)]).buffer(0.005)
    tiles = tiles_meeting(GRID, 50, diagonal)
    assert 0 < len(tiles) < 32
    met = {(t.row, t.col) for t in GRID.tiles(50) if shapely.box(*GRID.window_bounds(t.window)).intersects(diagonal)}
    assert {(tile.row, tile.col) for tile in tiles} == met


# ---- estimates -----------------------------------------------------------------------------------


def plan(*scenes: Scene, grid: Grid = GRID, size: int = 100) -> CubePlan:
    tiles = grid.tiles(size)
    jobs = jobs_of_period(AUGUST, AreaIndex(tiles.outlines()), scenes, "items/a.parquet")
    return CubePlan(cube_spec(grid), size, (AUGUST,), {"2023-08": scenes}, ChunkJobs(tiles, [jobs]))


def test_an_estimate_counts_the_jobs_and_scenes_of_the_plan() -> None:
    everywhere = scene("a", box=(14.9, 45.9, 15.5, 46.3))
    found = estimate(plan(everywhere, scene("b", box=(14.9, 45.9, 15.5, 46.3))))
    assert (found.chunks, found.tiles, found.periods, found.scenes) == (8, 8, 1, 2)
    assert found.chunk_scenes == 16
    assert found.pixels == 400 * 200


def test_bytes_to_read_are_near_the_sizes_of_the_files() -> None:
    """At native resolution about the whole file; at half of it a quarter, from the overview."""
    raster = {
        "href": "/a.tif",
        "proj:shape": [1112, 1112],
        "proj:transform": [10, 0, 0, 0, -10, 0],
        "file:size": 1_000_000,
        "raster:bands": raster_band(-0.1),
    }
    box = (15.0, 0.0, 15.1, 0.1)  # 11.1 km a side, at the equator
    one = scene("a", box=box, assets={"red": raster})
    native, half = (
        estimate(plan(one, grid=Grid.from_bounds(box, 0.1 / pixels), size=5000)).bytes_to_read for pixels in (1112, 556)
    )
    assert 400_000 < native < 1_500_000
    assert native / half == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("band", "changes", "in_full"),
    [
        ("scl", {}, True),
        ("scl", {"overviews": "mode"}, False),
        ("scl", {"overviews": "mode", "href": "/SCL.jp2"}, True),
        ("red", {}, False),
        ("red", {"href": "/B04.jp2"}, True),
        ("red", {"href": "/B04.jp2", "nodata": None}, False),
    ],
)
def test_an_estimate_counts_bytes_of_the_level_that_is_read(band: str, changes: dict[str, Any], in_full: bool) -> None:
    """At a quarter of the resolution, the full raster has 16 times the bytes of the overview."""
    box = (15.0, 0.0, 15.1, 0.1)
    whole = scene("a", box=box)
    asset = BandAsset(
        href="/a.tif", scale=0.0001, offset=0.0, nodata=0, size=1_000_000, pixels=1112**2, pixel_size=10.0, height=1112,
        width=1112, crs="EPSG:32633",
    )  # fmt: skip
    one = replace(whole, bands={band: replace(asset, **changes)})
    found = estimate(plan(one, grid=Grid.from_bounds(box, 0.1 / 278), size=5000)).bytes_to_read
    assert found == pytest.approx(750_000 if in_full else 750_000 / 16, rel=0.05)


def test_an_estimate_of_nothing_is_nothing() -> None:
    found = estimate(plan())
    assert (found.scenes, found.chunk_scenes, found.bytes_to_read) == (0, 0, 0)
    assert found.bytes_per_chunk > 0
