"""Quicklooks: one picture per period, in true colours, transparent where there is no data."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.planning.plan import CubeSpec
from ardcube.report.quicklook import write_quicklooks
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.writer import CubeStore

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # PNG has no georeference


def write_store(path: Path, numbers: NDArray[np.uint16], bands: list[str], name: str = "rgb_median") -> str:
    """Write uint16 (time, latitude, longitude, band) as a cube of tiles of 16 pixels, monthly from 2023-11."""
    times, rows, columns, _ = numbers.shape
    spec = CubeSpec(
        fingerprint="test",
        periods=times,
        grid=Grid(10.0, 50.0, 0.001, rows, columns),
        bands=tuple(bands),
        varname=name,
        resampling="bilinear",
        offset=-0.1,
        mask=DefaultCloudMaskHook(),
        store_uri=str(path),
        ledger_uri=f"{path}.ardcube",
        storage_options={},
        asset_access="unsigned",
    )
    periods = calendar_periods(date(2023, 11, 1), date(2024, 12, 1), 1)[:times]
    schema.create(Place.at(str(path)), spec, periods, chunk_size=16)
    CubeStore.open(spec).composite[...] = numbers
    return str(path)


def read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as picture:
        out: NDArray[np.uint8] = picture.read()
    return out


def ramp(times: int = 2, rows: int = 40, columns: int = 60, bands: int = 4) -> NDArray[np.uint16]:
    return np.random.default_rng(5).integers(1100, 3000, (times, rows, columns, bands)).astype(np.uint16)


def test_a_picture_per_period_is_named_after_variable_and_month(tmp_path: Path) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=3), ["red", "green", "blue", "nir"], name="ndsi-ish")
    paths = write_quicklooks(uri, tmp_path / "out" / "pictures")
    names = [f"ndsi-ish_{month}.png" for month in ("2023-11", "2023-12", "2024-01")]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == names  # no sidecar
    for path in paths:
        with rasterio.open(path) as picture:
            assert (picture.driver, picture.count, picture.height, picture.width) == ("PNG", 4, 40, 60)


def test_colours_come_from_their_bands_in_any_order(tmp_path: Path) -> None:
    numbers = np.full((1, 8, 8, 4), 1500, np.uint16)
    numbers[0, :4, :, 2] = 3000  # red
    numbers[0, :, :4, 0] = 3000  # blue
    uri = write_store(tmp_path / "cube.zarr", numbers, ["blue", "nir", "red", "green"])
    red, green, blue, alpha = read(write_quicklooks(uri, tmp_path)[0])
    assert (red[:4] == 255).all()
    assert (red[4:] == 0).all()
    assert (blue[:, :4] == 255).all()
    assert (blue[:, 4:] == 0).all()
    assert (green == 0).all()
    assert (alpha == 255).all()


def test_without_red_green_and_blue_the_first_band_is_grey(tmp_path: Path) -> None:
    numbers = ramp(times=1, bands=2)
    uri = write_store(tmp_path / "cube.zarr", numbers, ["nir", "red"])
    red, green, blue, _ = read(write_quicklooks(uri, tmp_path)[0]).astype(int)
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)
    assert np.corrcoef(red.ravel(), numbers[0, :, :, 0].ravel())[0, 1] > 0.95


def test_nodata_in_a_shown_band_is_transparent(tmp_path: Path) -> None:
    numbers = ramp(times=1)
    numbers[0, :10] = 0
    numbers[0, 20, 30, 1] = 0
    numbers[0, 21, 31, 3] = 0  # the near infrared is not shown
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue", "nir"])
    alpha = read(write_quicklooks(uri, tmp_path)[0])[3]
    assert np.array_equal(alpha == 0, (numbers[0, :, :, :3] == 0).any(axis=-1))
    assert set(np.unique(alpha)) == {0, 255}


def test_all_periods_share_one_stretch(tmp_path: Path) -> None:
    numbers = ramp(times=2)
    numbers[1] += 1500
    numbers[:, 0, 0] = 2600
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue", "nir"])
    first, second = (read(path) for path in write_quicklooks(uri, tmp_path))
    assert np.array_equal(first[:, 0, 0], second[:, 0, 0])
    assert second[:3].mean() > first[:3].mean() + 50


@pytest.mark.parametrize(("max_side", "shape"), [(60, (40, 60)), (59, (20, 30)), (20, (14, 20)), (1, (1, 1))])
def test_of_a_large_cube_every_nth_pixel_is_shown(tmp_path: Path, max_side: int, shape: tuple[int, int]) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=1), ["red", "green", "blue", "nir"])
    picture = read(write_quicklooks(uri, tmp_path, max_side=max_side)[0])
    assert picture.shape[1:] == shape
    assert max(shape) <= max_side


def test_a_cube_without_data_is_transparent(tmp_path: Path) -> None:
    numbers = np.zeros((1, 20, 20, 3), np.uint16)
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue"])
    assert not read(write_quicklooks(uri, tmp_path)[0]).any()


@pytest.mark.parametrize("options", [None, {}])
def test_a_file_uri_is_opened_like_a_path(tmp_path: Path, options: dict[str, str] | None) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=1), ["red", "green", "blue", "nir"])
    from_path = read(write_quicklooks(uri, tmp_path / "a", storage_options=options)[0])
    from_uri = read(write_quicklooks(f"file://{uri}", tmp_path / "b", storage_options=options)[0])
    assert np.array_equal(from_path, from_uri)


def test_an_address_without_a_cube_is_refused_before_a_file_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no cube"):
        write_quicklooks(str(tmp_path / "none.zarr"), tmp_path / "out")
    xr.Dataset({"x": ("y", np.arange(3))}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=True)
    with pytest.raises(InputError, match="no variable with a `band` dimension"):
        write_quicklooks(str(tmp_path / "other.zarr"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
