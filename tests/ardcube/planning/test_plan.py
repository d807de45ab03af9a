"""The plan: its tiles and its estimate."""

from __future__ import annotations

from datetime import date

import shapely
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.planning.estimate import estimate
from ardcube.planning.jobs import ChunkJobs, jobs_of_period
from ardcube.planning.plan import CubePlan, tiles_meeting
from tests.strategies import FEW, cube_spec, grids, scene

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


def test_an_estimate_of_nothing_is_nothing() -> None:
    found = estimate(plan())
    assert (found.scenes, found.chunk_scenes) == (0, 0)
    assert found.bytes_per_chunk > 0
