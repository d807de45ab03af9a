"""Cubes of real scenes have each composite as plain NumPy computes it from the observations of the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import ardcube
from ardcube.config import CubeConfig
from ardcube.config.variables import variable_name
from tests.ardcube.pixels.test_band_composites import PLAIN
from tests.ardcube.pixels.test_observation_composites import CHOICES, OFFSET, SCALE, plain_mads
from tests.oracle.cube import Encoding, oracle_cube, read_catalogue

pytestmark = pytest.mark.real

BANDS = ("red", "green", "nir")  # those of CHOICES
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Request:
    """A window of real scenes; all their dates are one period."""

    bbox: tuple[float, float, float, float]
    start: date
    months: int
    resolution: float
    mask: str


REQUESTS = {
    "zagreb-2023-08": Request((15.50, 45.92, 15.75, 46.05), date(2023, 8, 1), 1, 0.004, "scl"),
    "antwerp-2023q4": Request((4.2608, 51.3086, 4.2640, 51.3120), date(2023, 10, 1), 3, 0.0001, "none"),
    "inn-2021": Request((13.10, 48.29, 13.13, 48.31), date(2021, 6, 1), 4, 0.0008, "none"),
}
BAND_COMPOSITES = ("median", "mean", "min", "max", "std", "percentile:25")
COMPOSITES = (*BAND_COMPOSITES, *CHOICES, "geomedian", "mads")


def observations(archive: Path, request: Request) -> NDArray[np.int64]:
    """Return the observations (day, y, x, band) of the oracle: its composites of single days."""
    items, collection = read_catalogue(archive)
    days = sorted({date.fromisoformat(item["properties"]["datetime"][:10]) for item in items})
    found = oracle_cube(
        items,
        collection,
        bbox=request.bbox,
        start=request.start,
        end=days[-1],
        periods=[(day, day + timedelta(1)) for day in days],
        resolution=request.resolution,
        bands=BANDS,
        cloud_mask="scl" if request.mask == "scl" else "none",
        encoding=Encoding(SCALE, OFFSET),
    )
    return found.values.astype(np.int64)


def costs(points: Floats, seen: Floats) -> Floats:
    """Return sums of distances (y, x) of points (y, x, band) to observations (day, y, x, band), NaN where none is."""
    sums: Floats = np.nansum(np.sqrt(((seen - points) ** 2).sum(axis=-1)), axis=0)
    return sums


def plain_geomedians(seen: Floats) -> Floats:
    """Return geometric medians (y, x, band) by many iterations of Weiszfeld, from the means."""
    points: Floats = np.nanmean(seen, axis=0)
    for _ in range(1500):
        distances = np.maximum(np.sqrt(((seen - points) ** 2).sum(axis=-1, keepdims=True)), 1e-9)
        points = np.nansum(seen / distances, axis=0) / np.nansum(1 / distances, axis=0)
    return points


def assert_geomedians(stored: NDArray[np.uint16], seen: Floats) -> None:
    """Check that no point has a smaller sum of distances, but for half a digital number per band of rounding."""
    has_some = np.isfinite(seen[..., 0]).any(axis=0)
    np.testing.assert_array_equal(stored.any(axis=-1), has_some)
    seen = seen[:, has_some]
    number, found = np.isfinite(seen[..., 0]).sum(axis=0), costs(stored[has_some].astype(np.float64), seen)
    best = np.minimum.reduce([costs(plain_geomedians(seen), seen), *(costs(one, seen) for one in np.nan_to_num(seen))])
    assert (found <= best + number * np.sqrt(len(BANDS)) / 2 + 0.05).all()
    assert np.median(found - best) < 0.5


@pytest.mark.parametrize("name", REQUESTS)
def test_composites_of_real_scenes_equal_the_oracle(shared_real: Path, tmp_path: Path, name: str) -> None:
    request, archive = REQUESTS[name], shared_real / "scenes" / name
    cube = CubeConfig(
        stac_url=str(archive), collection="sentinel-2-l2a", bbox=request.bbox, start_date=request.start,
        end_date=request.start + timedelta(31 * (request.months - 1)), time_frequency_months=request.months,
        resolution=request.resolution, bands=BANDS, composites=COMPOSITES, chunk_size=33, cloud_mask=request.mask,
        encoding=f"scale={SCALE},offset={OFFSET}",
    )  # fmt: skip
    assert ardcube.build(cube, tmp_path / "cube.zarr", threads=2).failed == 0
    given = observations(archive, request)
    complete = (given != 0).all(axis=-1)
    assert complete.sum(axis=0).max() > 1
    with xr.open_zarr(tmp_path / "cube.zarr", mask_and_scale=False) as stored:
        variables = {str(name): data.to_numpy()[0] for name, data in stored.data_vars.items()}
    assert_geomedians(variables["geomedian"], np.where(complete[..., None], given, np.nan))
    for y, x in np.ndindex(complete.shape[1:]):
        for text, band in product(BAND_COMPOSITES, range(len(BANDS))):
            values = [int(value) for value in given[:, y, x, band] if value]
            expected = PLAIN[text](values) if values else 65535 if text == "std" else 0
            assert variables[variable_name(text)][y, x, band] == expected, (text, y, x, band)
        seen = given[complete[:, y, x], y, x].astype(np.float64)
        for text, choose in CHOICES.items():
            chosen = choose(seen) if len(seen) else -1
            np.testing.assert_array_equal(
                variables[variable_name(text)][y, x], seen[chosen] if chosen >= 0 else 0, text
            )
        if len(seen):
            # The stored geometric median is rounded, which changes distances by half a digital number per band.
            deviation = plain_mads(seen, variables["geomedian"][y, x].astype(np.float64))
            for name, expected, tolerance in zip(("emad", "smad", "bcmad"), deviation, (1e-4, 1e-3, 1e-3), strict=True):
                assert variables[name][y, x] == pytest.approx(expected, abs=tolerance), (name, y, x)
