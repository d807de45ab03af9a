"""Cubes of days, seasons, years and periods of a file: equal to the oracle, refreshed and continued as others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ardcube
from ardcube.config import CubeConfig
from flows.build_cube import build_cube
from tests.flows.jobs import expected, pixels, records, run_config, sample_cube
from tests.oracle.compare import assert_equals_oracle
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
