"""The cost of a plan: coefficients, chunks that were measured, ranges, prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import AreaIndex
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period
from ardcube.pixels.composites.geomedian import Geomedian
from ardcube.pixels.composites.per_band import Median
from ardcube.planning.cost.coefficients import CPU_PER_TASK, coefficients_for, shipped
from ardcube.planning.cost.estimate import CostEstimate, Machines, Measured, estimate_cost
from ardcube.planning.cost.figures import Prices, Range, Used
from ardcube.planning.cost.work import Work
from ardcube.planning.jobs import ChunkJobs, jobs_of_period
from ardcube.planning.plan import CubePlan
from tests.strategies import cube_spec, scene

GRID = Grid.from_bounds((15.0, 46.0, 15.4, 46.2), 0.001)
AUGUST = Period(0, date(2023, 8, 1), date(2023, 9, 1))
BOX = (14.9, 45.9, 15.5, 46.3)
PRICES = Prices(0.04, 0.09, 0.0004)


def plan(*scenes: Scene, grid: Grid = GRID, size: int = 100) -> CubePlan:
    tiles = grid.tiles(size)
    jobs = jobs_of_period(AUGUST, AreaIndex(tiles.outlines()), scenes, "items/a.parquet")
    return CubePlan(cube_spec(grid), size, (AUGUST,), {"2023-08": scenes}, ChunkJobs(tiles, [jobs]))


def cost(
    made: CubePlan, workers: int | None = 1, prices: Prices = PRICES, measured: Measured | None = None
) -> CostEstimate:
    return estimate_cost(made, made.jobs, Machines(workers, 2), 1_000_000, prices, measured)


def test_figures_are_ranges_around_a_likely_one() -> None:
    found = cost(plan(scene("a", box=BOX), scene("b", box=BOX)))
    for figure in (found.cpu_seconds, found.core_seconds, found.requests, found.bytes_to_read, found.cube_bytes):
        assert 0 < figure.low < figure.likely < figure.high
    assert found.cube_objects.likely == pytest.approx(8 * 2)
    assert found.basis == "coefficients"
    assert found.square_km == pytest.approx(400 * 200 * 0.1112 * 0.1112 * 0.694, rel=0.01)


def test_a_sample_represents_all_chunks() -> None:
    few, many = (cost(plan(scene("a", box=BOX), grid=GRID, size=size)) for size in (100, 16))
    assert (few.chunks, many.chunks) == (8, 25 * 13)
    fine = plan(scene("a", box=BOX), grid=GRID, size=16)
    of_each = estimate_cost(fine, fine.jobs[:160], Machines(1, 2), 1, PRICES)
    assert of_each.cube_objects.likely == 160 * 2
    assert many.cube_objects.likely == pytest.approx(325 * 2)
    assert many.cube_bytes.likely == pytest.approx(few.cube_bytes.likely, rel=0.01)


def test_more_workers_take_less_time_up_to_the_number_of_chunks() -> None:
    made = plan(scene("a", box=BOX))
    one, four, many, unknown = (cost(made, workers).hours for workers in (1, 4, 1000, None))
    assert one is not None
    assert four is not None
    assert many is not None
    assert one.likely > four.likely
    assert many.low > 0
    assert unknown is None


def test_chunks_without_a_flow_take_no_cpu_of_prefect() -> None:
    made = plan(scene("a", box=BOX))
    alone = estimate_cost(made, made.jobs, Machines(1, 2), 1_000_000, PRICES, prefect=False)
    assert cost(made).cpu_seconds.likely - alone.cpu_seconds.likely == pytest.approx(CPU_PER_TASK * 8)


def test_money_is_the_sum_of_known_prices() -> None:
    found = cost(plan(scene("a", box=BOX)))
    expected = 0.04 * found.core_hours.likely + 0.09e-9 * found.bytes_to_read.likely + 0.0004e-3 * found.requests.likely
    assert found.money is not None
    assert found.money.likely == pytest.approx(expected)
    assert list(cost(plan(scene("a", box=BOX)), prices=Prices(per_gb=1.0)).money_by_part) == ["bytes"]
    assert cost(plan(scene("a", box=BOX)), prices=Prices()).money is None
    assert Prices(1.0, 1.0).parts(None, Range.exactly(1e9), None) == {"core-hours": None, "bytes": Range(1, 1, 1)}


def test_measured_chunks_replace_the_coefficients() -> None:
    made = plan(scene("a", box=BOX))
    before = cost(made)
    works = [{"low": one, "likely": one, "high": one} for one in (Work(chunks=1, output=1e6, opened=1, fetches=1),) * 4]
    coefficients = coefficients_for(made.spec, [scene("a")])
    expected = coefficients.predict(works[0]["likely"])
    assert expected.cpu_seconds is not None
    used = [Used(cpu_seconds=3 * expected.cpu_seconds) for _ in works]
    found = cost(made, measured=Measured("calibration", "4 chunks", works, used, files=4, processes=0))
    chunks = before.cpu_seconds.likely - CPU_PER_TASK * len(made.jobs) - coefficients.cpu_per_process
    # Chunks that contain no start of a process say nothing about it.
    assert found.cpu_seconds.likely == pytest.approx(3 * chunks + coefficients.cpu_per_process)
    assert found.basis == "calibration"
    assert found.bytes_to_read == before.bytes_to_read
    assert set(found.from_coefficients) == {"seconds", "requests", "received", "stored", "objects"}
    # Equal chunks leave the least error; those that differ widen the range.
    assert found.cpu_seconds.high / found.cpu_seconds.likely < before.cpu_seconds.high / before.cpu_seconds.likely
    uneven = [
        replace(one, cpu_seconds=factor * expected.cpu_seconds) for factor, one in zip((1, 5, 1, 5), used, strict=True)
    ]
    wide = cost(made, measured=Measured("calibration", "4 chunks", works, uneven, files=4, processes=0))
    assert wide.cpu_seconds.likely == pytest.approx(found.cpu_seconds.likely)
    assert wide.cpu_seconds.high - found.cpu_seconds.high > 0.5 * 3 * chunks


def test_a_plan_without_scenes_reads_nothing() -> None:
    found = cost(plan())
    assert found.bytes_to_read == Range(0, 0, 0)
    assert found.cube_objects == Range(0, 0, 0)


def test_coefficients_are_those_of_the_most_similar_cube() -> None:
    names = {one.definition for one in shipped()}
    assert "sentinel-2-c1-l2a" in names
    near = coefficients_for(cube_spec(GRID), [replace(scene("a"), definition="sentinel-2-c1-l2a")])
    assert (near.definition, near.composite) == ("sentinel-2-c1-l2a", "median")
    both = coefficients_for(cube_spec(GRID, composites=(Median(), Geomedian())), [scene("a")])
    assert both.cpu_per_mpx >= coefficients_for(cube_spec(GRID), [scene("a")]).cpu_per_mpx
    for one in shipped():
        assert all(value >= 0 for value in one.to_document().values() if isinstance(value, float))
