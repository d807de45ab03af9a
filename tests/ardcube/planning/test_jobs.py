"""Jobs: one per tile and period, each with a hash of its inputs, created on access."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date

import shapely
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period, calendar_periods
from ardcube.fingerprint import digest
from ardcube.planning.jobs import ChunkJob, ChunkJobs, ChunkKey, jobs_of_period
from tests.strategies import FEW, cube_spec, grids, scene

GRID = Grid.from_bounds((15.0, 46.0, 15.4, 46.2), 0.001)
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))


def chunk_jobs(
    *scenes: Scene, grid: Grid = GRID, periods: tuple[Period, ...] = (AUGUST,), halo: int = 0, size: int = 100
) -> ChunkJobs:
    """Jobs of some periods that all have the same scenes."""
    tiles = grid.tiles(size)
    areas = AreaIndex(tiles.outlines(halo))
    return ChunkJobs(tiles, [jobs_of_period(period, areas, scenes, "items/a.parquet") for period in periods])


def jobs_of(
    *scenes: Scene, grid: Grid = GRID, period: Period = AUGUST, halo: int = 0, size: int = 100
) -> list[ChunkJob]:
    return list(chunk_jobs(*scenes, grid=grid, periods=(period,), halo=halo, size=size))


def test_every_tile_has_a_job_with_the_window_of_the_tile() -> None:
    period = Period(3, date(2023, 11, 1), date(2023, 12, 1))
    jobs = jobs_of(scene(), period=period, size=150)
    tiles = list(GRID.tiles(150))
    assert [(job.key.row, job.key.col, job.window) for job in jobs] == [
        (tile.row, tile.col, tile.window) for tile in tiles
    ]
    assert {job.time_index for job in jobs} == {3}
    assert {job.key.period for job in jobs} == {"2023-11"}
    assert sum(job.pixels for job in jobs) == GRID.width * GRID.height


def test_keys_sort_by_position_and_have_distinct_files() -> None:
    key = ChunkKey("2023-08", 3, 12)
    assert str(key) == "2023-08_y0003_x0012"
    assert key.path == "chunks/2023-08/y0003_x0012.json"


def test_a_new_scene_changes_the_inputs_of_the_tiles_it_intersects_only() -> None:
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


def test_inputs_depend_on_revision_and_period_only() -> None:
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


@FEW
@given(
    grid=grids(most=300),
    size=st.integers(16, 120),
    halo=st.integers(0, 20),
    boxes=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=6),
)
def test_inputs_are_the_digest_of_the_period_and_of_the_scenes_of_the_tile(
    grid: Grid, size: int, halo: int, boxes: list[tuple[float, float, float, float]]
) -> None:
    """Chunks that were built long ago stay done: their records hold this hash."""
    west, south, east, north = grid.bounds
    scenes = []
    for number, (x, y, width, height) in enumerate(boxes):
        left, low = west + x * (east - west), south + y * (north - south)
        outline = (left, low, left + 1e-4 + width * (east - left), low + 1e-4 + height * (north - low))
        scenes.append(replace(scene(f"s{number}"), footprint=shapely.box(*outline)))
    for job in jobs_of(*scenes, grid=grid, halo=halo, size=size):
        area = grid.window_outline(job.window.grow(halo))
        met = [one.revision for one in scenes if one.reach().intersects(area)]
        assert job.inputs == digest([["2023-08-01", "2023-09-01"], met])
        assert job.scenes == len(met)


# ---- the sequence --------------------------------------------------------------------------------

MONTHS = calendar_periods(date(2023, 8, 1), date(2023, 10, 1), 1)


def test_jobs_are_ordered_by_tile_then_by_period() -> None:
    keys = [str(job.key) for job in chunk_jobs(periods=MONTHS, size=200)]
    assert keys == [f"2023-{month}_y0000_x000{col}" for col in (0, 1) for month in ("08", "09", "10")]


@FEW
@given(
    start=st.none() | st.integers(-30, 30),
    stop=st.none() | st.integers(-30, 30),
    step=st.sampled_from([None, 1, 2, -1]),
)
def test_slices_of_jobs_are_jobs(start: int | None, stop: int | None, step: int | None) -> None:
    jobs = chunk_jobs(scene(), periods=MONTHS)
    every = list(jobs)
    assert [jobs[index] for index in range(-len(jobs), len(jobs))] == [*every, *every]
    part = jobs[start:stop:step]
    assert isinstance(part, ChunkJobs)
    assert list(part) == every[start:stop:step]
    assert (len(part), part.pixels) == (len(every[start:stop:step]), sum(job.pixels for job in part))


def test_done_jobs_are_left_out_unless_their_inputs_have_changed() -> None:
    jobs = chunk_jobs(scene(), periods=MONTHS)
    done = [(jobs[number].key, jobs[number].inputs) for number in (0, 4, 23)]
    stale = [(jobs[1].key, "0" * 16)]
    elsewhere = [
        (ChunkKey("2023-07", 0, 0), jobs[0].inputs),
        (ChunkKey("2023-08", 99, 0), jobs[0].inputs),
        (ChunkKey("2023-08", 0, 99), jobs[0].inputs),
    ]
    left = jobs.without([*done, *stale, *elsewhere])
    expected = [job for number, job in enumerate(jobs) if number not in (0, 4, 23)]
    expected[0] = replace(expected[0], rebuilt=True)  # the store has its pixels of other inputs
    assert list(left) == expected
    assert list(jobs[4:8].without(done)) == list(jobs)[5:8]
    assert list(left.without((job.key, job.inputs) for job in left)) == []


def test_equal_jobs_are_equal() -> None:
    assert chunk_jobs(scene()) == chunk_jobs(scene())
    assert chunk_jobs(scene()) != chunk_jobs(scene("another"))
    assert chunk_jobs(scene()) != chunk_jobs(scene())[1:]


def test_jobs_and_the_spec_are_small_and_picklable() -> None:
    (job, *_) = jobs_of(scene())
    assert pickle.loads(pickle.dumps(job)) == job
    assert pickle.loads(pickle.dumps(cube_spec(GRID))) == cube_spec(GRID)
    assert len(pickle.dumps(job)) < 1000
