"""The plan: which tiles, which scenes, which task runs, and what it will take."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ardcube.grid import Grid, Tile, Window
from ardcube.periods import Period
from ardcube.plan import (
    SINGLE_CHUNK_LIMIT,
    TASK_RUNS_PER_FLOW,
    ChunkJob,
    ChunkKey,
    CubePlan,
    batches,
    estimate,
    jobs_of_period,
    tiles_meeting,
)
from ardcube.scene_index import SceneIndex
from ardcube.scenes import Scene
from tests.strategies import FEW, MANY, cube_spec, grids, scene

GRID = Grid.from_bounds((15.0, 46.0, 15.4, 46.2), 0.001)
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


def jobs_of(
    *scenes: Scene, grid: Grid = GRID, period: Period = AUGUST, halo: int = 0, size: int = 100
) -> list[ChunkJob]:
    index = SceneIndex(scenes)
    return jobs_of_period(grid, tuple(grid.tiles(size)), period, index, "items/a.parquet", halo)


def plain_jobs(count: int) -> list[ChunkJob]:
    return [ChunkJob(ChunkKey("2023-08", 0, col), 0, Window(0, 1, col, col + 1), "m", "i", 1) for col in range(count)]


# ---- batches -------------------------------------------------------------------------------------


@MANY
@given(
    count=st.integers(0, 30_000) | st.sampled_from([SINGLE_CHUNK_LIMIT, SINGLE_CHUNK_LIMIT + 1, 1000, 1001]),
    periods=st.integers(1, 120),
)
def test_batches_cover_every_job_once_in_order_in_at_most_a_thousand(count: int, periods: int) -> None:
    jobs = plain_jobs(1) * count
    cut = list(batches(jobs, periods))
    assert sum(map(len, cut)) == count
    assert len(cut) <= TASK_RUNS_PER_FLOW
    if count <= SINGLE_CHUNK_LIMIT:
        assert all(len(batch) == 1 for batch in cut)


@FEW
@given(count=st.integers(0, 300), periods=st.integers(1, 40), size=st.none() | st.integers(1, 400))
def test_no_job_is_lost_repeated_or_moved(count: int, periods: int, size: int | None) -> None:
    jobs = plain_jobs(count)
    cut = list(batches(jobs, periods, size))
    assert [job for batch in cut for job in batch] == jobs
    if size is not None:
        assert {len(batch) for batch in cut[:-1]} <= {size}


def test_a_batch_of_a_large_plan_is_a_tile_with_all_its_periods() -> None:
    assert {len(batch) for batch in batches(plain_jobs(12 * 600), 12)} == {12}


# ---- tiles and jobs ------------------------------------------------------------------------------


@FEW
@given(grid=grids(most=300), size=st.integers(16, 120))
def test_without_a_mask_every_tile_is_built(grid: Grid, size: int) -> None:
    assert tiles_meeting(grid, size, None) == tuple(grid.tiles(size))


def test_with_a_mask_just_the_tiles_that_it_meets_are_built() -> None:
    diagonal = shapely.LineString([(15.01, 46.19), (15.39, 46.01)]).buffer(0.005)
    tiles = tiles_meeting(GRID, 50, diagonal)
    assert 0 < len(tiles) < 32
    met = {(t.row, t.col) for t in GRID.tiles(50) if shapely.box(*GRID.window_bounds(t.window)).intersects(diagonal)}
    assert {(tile.row, tile.col) for tile in tiles} == met


def test_every_tile_has_a_job_that_lands_where_the_tile_lies() -> None:
    period = Period(3, date(2023, 11, 1), date(2023, 12, 1))
    jobs = jobs_of(scene(), period=period, size=150)
    tiles = list(GRID.tiles(150))
    assert [(job.key.row, job.key.col, job.window) for job in jobs] == [
        (tile.row, tile.col, tile.window) for tile in tiles
    ]
    assert {job.time_index for job in jobs} == {3}
    assert {job.key.period for job in jobs} == {"2023-11"}
    assert sum(job.pixels for job in jobs) == GRID.width * GRID.height


def test_keys_are_names_that_sort_and_files_apart() -> None:
    key = ChunkKey("2023-08", 3, 12)
    assert str(key) == "2023-08_y0003_x0012"
    assert key.path == "chunks/2023-08/y0003_x0012.json"


def test_a_new_scene_changes_the_inputs_of_just_the_tiles_it_meets() -> None:
    west = scene("west", box=(14.5, 46.0, 15.15, 46.2))
    before = jobs_of(west)
    after = jobs_of(west, scene("new", box=(15.35, 46.0, 15.6, 46.2)))
    changed = {a.key.col for b, a in zip(before, after, strict=True) if b.inputs != a.inputs}
    counted = {a.key.col for b, a in zip(before, after, strict=True) if b.scenes != a.scenes}
    # Tiles are 0.1 degree wide; the new footprint, grown by its margin of 0.029, begins at 15.321.
    assert changed == counted == {3}
    assert {job.scenes for job in before if job.key.col == 0} == {1}


def test_a_scene_that_only_the_halo_reaches_belongs_to_the_inputs() -> None:
    beyond = scene("beyond", box=(15.45, 46.0, 15.6, 46.2))  # grown, it begins at 15.421
    assert all(job.scenes == 0 for job in jobs_of(beyond))
    with_halo = jobs_of(beyond, halo=25)
    assert {job.key.col for job in with_halo if job.scenes} == {3}


def test_inputs_depend_on_revision_and_period_and_on_nothing_else() -> None:
    one = scene("a", box=(15.0, 46.0, 15.4, 46.2))
    (job, *_) = jobs_of(one)
    (same, *_) = jobs_of(replace(one, bands={}))
    assert job.inputs == same.inputs
    (revised, *_) = jobs_of(replace(one, revision="another"))
    assert revised.inputs != job.inputs
    # The last period of a cube grows when the end date moves: what it was built from is then another.
    (longer, *_) = jobs_of(one, period=replace(AUGUST, end=date(2023, 10, 1)))
    assert longer.inputs != job.inputs
    (moved, *_) = jobs_of(one, period=replace(AUGUST, index=7))
    assert moved.inputs == job.inputs


def test_an_empty_period_has_jobs_too() -> None:
    assert [job.scenes for job in jobs_of()] == [0] * 8


# ---- estimates -----------------------------------------------------------------------------------


def plan(*scenes: Scene, grid: Grid = GRID, size: int = 100) -> CubePlan:
    jobs = tuple(jobs_of(*scenes, grid=grid, size=size))
    tiles: tuple[Tile, ...] = tuple(grid.tiles(size))
    return CubePlan(cube_spec(grid), size, (AUGUST,), tiles, {"2023-08": scenes}, jobs)


def test_an_estimate_counts_what_the_plan_holds() -> None:
    everywhere = scene("a", box=(14.9, 45.9, 15.5, 46.3))
    found = estimate(plan(everywhere, scene("b", box=(14.9, 45.9, 15.5, 46.3))))
    assert (found.chunks, found.tiles, found.periods, found.scenes) == (8, 8, 1, 2)
    assert found.chunk_scenes == 16
    assert found.pixels == 400 * 200


def test_bytes_to_read_are_near_what_the_files_hold() -> None:
    """At native resolution about the whole file; at half of it a quarter, from the overview."""
    raster = {
        "href": "/a.tif",
        "proj:shape": [1112, 1112],
        "proj:transform": [10, 0, 0, 0, -10, 0],
        "file:size": 1_000_000,
    }
    box = (15.0, 0.0, 15.1, 0.1)  # 11.1 km a side, at the equator
    one = scene("a", box=box, assets={"red": raster})
    native, half = (
        estimate(plan(one, grid=Grid.from_bounds(box, 0.1 / pixels), size=5000)).bytes_to_read for pixels in (1112, 556)
    )
    assert 400_000 < native < 1_500_000
    assert native / half == pytest.approx(4, rel=0.1)


def test_an_estimate_of_nothing_is_nothing() -> None:
    found = estimate(plan())
    assert (found.scenes, found.chunk_scenes, found.bytes_to_read) == (0, 0, 0)
    assert found.bytes_per_chunk > 0


def test_jobs_and_what_they_have_in_common_are_small_and_picklable() -> None:
    (job, *_) = jobs_of(scene())
    assert pickle.loads(pickle.dumps(job)) == job
    assert pickle.loads(pickle.dumps(cube_spec(GRID))) == cube_spec(GRID)
    assert len(pickle.dumps(job)) < 1000
