"""Cubes of days, seasons, years and periods of a file: equal to the oracle, refreshed and continued as others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import ardcube
from ardcube.config import CubeConfig, GrowingCubeConfig, RefreshConfig
from flows.build_cube import build_cube
from flows.refresh_cube import refresh_cube
from flows.retry_cube import retry_cube
from tests.flows.jobs import copy_catalogue, expected, pixels, records, run_config, sample_cube
from tests.oracle.compare import assert_equals_oracle
from tests.oracle.cube import read_catalogue
from tests.oracle.periods import days_of_year, named_periods, season, year

pytestmark = pytest.mark.usefixtures("prefect_server")

Spans = list[tuple[date, date]]
Make = Callable[..., tuple[CubeConfig, Spans]]

SMALL = {"bands": ("red",), "chunk_size": 80}
ROLLING = ["2023-05-01,2023-05-31", "2023-05-16,2023-06-15", "2023-06-01,2023-06-30", "2023-06-16,2023-07-15"]


def write_rows(folder: Path, rows: Sequence[str], header: str = "start,end") -> str:
    """Write a file of periods."""
    path = folder / "rolling.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def spans_of(rows: Sequence[str]) -> Spans:
    """Half-open periods of rows of first and last days."""
    days = [[date.fromisoformat(text) for text in row.split(",")] for row in rows]
    return [(first, date.fromordinal(last.toordinal() + 1)) for first, last in days]


@pytest.fixture
def make(sample_archive: Path, tmp_path: Path) -> Make:
    """Return a function that returns a cube of the sample and its periods by the oracle."""

    def made(kind: str, end: str, start: str = "2023-05-05") -> tuple[CubeConfig, Spans]:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        dates: dict[str, Any] = {"start_date": start, "end_date": end}
        if kind == "file":
            rows = [row for row in ROLLING if row.split(",")[1] <= end]
            return sample_cube(sample_archive, **SMALL, **dates | {"start_date": "2023-05-01"},
                               period=write_rows(tmp_path, ROLLING)), spans_of(rows)  # fmt: skip
        name = {"season": season, "year": year}.get(kind) or days_of_year(int(kind.removesuffix("D")))
        if kind in ("season", "year"):
            last = date(last.year, last.month + 1, 1) - (date(2023, 1, 2) - date(2023, 1, 1))
        return sample_cube(sample_archive, **SMALL, **dates, period=kind), named_periods(first, last, name)

    return made


def bounds_of(uri: Path) -> Spans:
    """Return the bounds of the time axis of a store, whose starts are those of `time`."""
    with xr.open_zarr(uri, chunks=None) as cube:
        bounds = cube["time_bnds"].to_numpy().astype("datetime64[D]")
        assert (cube["time"].to_numpy().astype("datetime64[D]") == bounds[:, 0]).all()
    return [(start, end) for start, end in bounds.tolist()]


def check_cube(archive: Path, uri: Path, cube: CubeConfig, spans: Spans) -> None:
    """Compare bounds and pixels of a store with the oracle."""
    assert bounds_of(uri) == spans
    built = pixels(uri)
    assert built.count.any()
    assert_equals_oracle(built.values, built.count, partial(expected, archive, cube, periods=spans))


@pytest.mark.parametrize(
    ("kind", "end", "labels"),
    [
        ("10D", "2023-06-12", ["2023-05-01", "2023-05-11", "2023-05-21", "2023-05-31", "2023-06-10"]),
        ("16D", "2023-05-31", ["2023-04-23", "2023-05-09", "2023-05-25"]),
        ("season", "2023-07-31", ["2023-03", "2023-06"]),
        ("year", "2023-06-30", ["2023-01"]),
        ("file", "2023-07-31", ["2023-05-01", "2023-05-16", "2023-06-01", "2023-06-16"]),
    ],
)
def test_a_cube_equals_the_oracle_pixel_for_pixel(
    sample_archive: Path, tmp_path: Path, make: Make, kind: str, end: str, labels: list[str]
) -> None:
    uri = tmp_path / "cube.zarr"
    cube, spans = make(kind, end)
    summary = build_cube(cube, run_config(uri))
    assert summary.failed == 0
    assert sorted({key.period for key in records(uri)}) == labels
    check_cube(sample_archive, uri, cube, spans)


@pytest.mark.real
def test_real_scenes_in_overlapping_periods_equal_the_oracle(shared_real: Path, tmp_path: Path) -> None:
    rows = ["2023-10-01,2023-11-15", "2023-10-16,2023-11-30", "2023-11-01,2023-12-31"]
    archive = shared_real / "scenes" / "antwerp-2023q4"
    cube = sample_cube(
        archive,
        collection="sentinel-2-l2a",
        bbox=(4.2608, 51.3086, 4.2675, 51.3134),
        start_date="2023-10-01",
        end_date="2023-12-31",
        period=write_rows(tmp_path, rows),
        resolution=0.0001,
        chunk_size=32,
    )
    build_cube(cube, run_config(tmp_path / "cube.zarr"))
    check_cube(archive, tmp_path / "cube.zarr", cube, spans_of(rows))


def test_periods_of_days_have_pictures_states_and_observations_of_their_own(
    sample_archive: Path, tmp_path: Path, make: Make
) -> None:
    from ardcube.report.quicklook import write_quicklooks

    uri = tmp_path / "cube.zarr"
    cube, _ = make("10D", "2023-05-20")
    build_cube(cube, run_config(uri))
    names = [path.name for path in write_quicklooks(str(uri), tmp_path / "png")]
    assert names == ["rgb_median_2023-05-01.png", "rgb_median_2023-05-11.png"]
    states = ardcube.status(str(uri))
    assert sorted(set(states["period"])) == ["2023-05-01", "2023-05-11"]
    key = next(str(key) for key, record in records(uri).items() if record.status == "written")
    days = ardcube.observations(str(uri), key)["time"].to_numpy().astype("datetime64[D]")
    start = np.datetime64(key[:10])
    assert ((days >= start - np.timedelta64(1, "D")) & (days < start + np.timedelta64(11, "D"))).all()


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("10D", ["2023-05-14", "2023-06-02"]),  # within a period, which becomes longer
        ("season", ["2023-06-30", "2023-07-31"]),
        ("file", ["2023-06-16", "2023-07-31"]),  # two rows, then four
    ],
)
def test_a_later_end_extends_a_cube_to_the_pixels_of_one_build(
    sample_archive: Path, tmp_path: Path, make: Make, kind: str, ends: list[str]
) -> None:
    uri = tmp_path / "cube.zarr"
    first, spans = make(kind, ends[0])
    build_cube(first, run_config(uri))
    assert bounds_of(uri) == spans
    before = {key: record.attempts for key, record in records(uri).items()}
    cube, spans = make(kind, ends[1])
    summary = build_cube(cube, run_config(uri))
    check_cube(sample_archive, uri, cube, spans)
    kept = {key for key, record in records(uri).items() if record.attempts == before.get(key)}
    lengthened = {key for key in before if kind != "file" and key.period == max(key.period for key in before)}
    assert kept == before.keys() - lengthened
    assert summary.written + summary.empty == len(records(uri)) - len(kept)


@pytest.mark.parametrize(
    ("kind", "days", "ends"),
    [
        ("10D", ["2023-05-22", "2023-06-11"], ["2023-05-20", "2023-06-09"]),
        ("season", ["2023-06-02", "2023-09-02"], ["2023-05-31", "2023-08-31"]),
        ("file", ["2023-06-17", "2023-07-02"], ["2023-06-15", "2023-06-30"]),
    ],
)
def test_a_schedule_adds_periods_that_have_ended(
    sample_archive: Path, tmp_path: Path, make: Make, kind: str, days: list[str], ends: list[str]
) -> None:
    uri = tmp_path / "cube.zarr"
    for day, end in zip(days, ends, strict=True):
        cube, spans = make(kind, end)
        growing = GrowingCubeConfig(**{name: value for name, value in cube.model_dump().items() if name != "end_date"})
        refresh = RefreshConfig(as_of=date.fromisoformat(day), delay_days=1)
        refresh_cube(growing, run_config(uri, look_back_months=0), refresh)
        check_cube(sample_archive, uri, cube, spans)


def test_a_late_scene_builds_the_chunks_of_each_period_that_it_belongs_to(
    sample_archive: Path, tmp_path: Path, make: Make
) -> None:
    """A day of overlapping periods belongs to each of them."""
    cube, spans = make("file", "2023-07-31")
    uri = tmp_path / "cube.zarr"
    items, _ = read_catalogue(sample_archive)
    late = [item["id"] for item in items if "2023-06-05" <= item["properties"]["datetime"] < "2023-06-15"]
    assert late
    names = [path.name for path in sample_archive.rglob("*.json") if path.stem in late]
    assert names
    fewer = copy_catalogue(sample_archive, tmp_path / "fewer", without=names)
    build_cube(cube.model_copy(update={"stac_url": str(fewer)}), run_config(uri))
    before = {key: record.inputs for key, record in records(uri).items()}
    build_cube(cube, run_config(uri))
    changed = {key.period for key, record in records(uri).items() if record.inputs != before[key]}
    assert changed == {"2023-05-16", "2023-06-01"}
    check_cube(sample_archive, uri, cube, spans)


@pytest.mark.parametrize("kind", ["10D", "season", "file"])
def test_a_cube_whose_chunks_are_missing_is_continued_and_retried_without_its_file_of_periods(
    sample_archive: Path, tmp_path: Path, make: Make, kind: str
) -> None:
    uri = tmp_path / "cube.zarr"
    cube, spans = make(kind, "2023-06-30")
    build_cube(cube, run_config(uri))
    whole = pixels(uri)
    ledger = Path(f"{uri}.ardcube")
    done = records(uri)

    def remove_half() -> int:
        """Remove records and pixels of the first column of tiles, as if a run had been stopped before it."""
        (ledger / "ledger.parquet").unlink(missing_ok=True)
        shutil.rmtree(ledger / "chunks", ignore_errors=True)
        group = zarr.open_group(str(uri), mode="r+")
        for name in ("rgb_median", "observation_count"):
            array = group[name]
            assert isinstance(array, zarr.Array)
            array[:, :, : cube.chunk_size] = 0
        assert pixels(uri) != whole
        kept = {key: record for key, record in done.items() if key.col > 0}
        for key, record in kept.items():
            (ledger / key.path).parent.mkdir(parents=True, exist_ok=True)
            (ledger / key.path).write_bytes(record.to_json())
        return len(done) - len(kept)

    removed = remove_half()
    summary = build_cube(cube, run_config(uri))
    assert summary.written + summary.empty == removed > 0
    assert pixels(uri) == whole
    (tmp_path / "rolling.csv").unlink(missing_ok=True)
    assert remove_half() == removed
    summary = retry_cube(run_config(uri), missing=True)
    assert summary.written + summary.empty == removed
    assert pixels(uri) == whole
    assert bounds_of(uri) == spans
