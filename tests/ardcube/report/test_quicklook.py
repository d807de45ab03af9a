"""Quicklooks: one picture per period, in true colours, transparent where there is no data."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray

from ardcube.config.encoding import CubeEncoding
from ardcube.errors import InputError
from ardcube.extent.periods import calendar_periods
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.planning.plan import CubeSpec
from ardcube.report.quicklook import write_quicklooks
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.writer import CubeStore
from tests.grids import degrees_grid


def write_store(path: Path, numbers: NDArray[np.uint16], bands: list[str], name: str = "rgb_median") -> str:
    """Write uint16 (time, latitude, longitude, band) as a cube of tiles of 16 pixels, monthly from 2023-11."""
    times, rows, columns, _ = numbers.shape
    spec = CubeSpec(
        fingerprint="test",
        periods=times,
        grid=degrees_grid(10.0, 50.0, 0.001, rows, columns),
        bands=tuple(bands),
        varname=name,
        resampling="bilinear",
        encoding=CubeEncoding(offset=-0.1),
        mask=DefaultCloudMaskHook(),
        store_uri=str(path),
        ledger_uri=f"{path}.ardcube",
        storage_options={},
        asset_access="unsigned",
    )
    periods = calendar_periods(date(2023, 11, 1), date(2024, 12, 1), 1)[:times]
    schema.create(Place.at(str(path)), spec, periods, chunk_size=16)
    CubeStore.open(spec).arrays[0][...] = numbers
    return str(path)


def read(path: Path) -> NDArray[np.uint8]:
    """Return the map in a picture without its frame, found by the world file: uint8 (4, y, x)."""
    with rasterio.open(path) as picture:
        out: NDArray[np.uint8] = picture.read()
        left, top = (round(number) for number in ~picture.transform @ (10.0, 50.0))
        step_x, step_y = picture.transform.a, -picture.transform.e
    rows, columns = SIZES[path.parent]
    return out[:, top : top + round(rows * 0.001 / step_y), left : left + round(columns * 0.001 / step_x)]


SIZES: dict[Path, tuple[int, int]] = {}
"""Rows and columns of the cube whose pictures are in a folder."""


def draw(uri: str, folder: Path, size: tuple[int, int], **more: Any) -> list[Path]:
    SIZES[folder] = size
    return write_quicklooks(uri, folder, **more)


def ramp(times: int = 2, rows: int = 40, columns: int = 60, bands: int = 4) -> NDArray[np.uint16]:
    return np.random.default_rng(5).integers(1100, 3000, (times, rows, columns, bands)).astype(np.uint16)


def shown(numbers: NDArray[np.uint16], path: Path) -> NDArray[np.generic]:
    """Return the pixels of a cube (y, x, ...) that the pixels of its enlarged picture show."""
    _, high, wide = read(path).shape
    rows, columns = numbers.shape[:2]
    return numbers[
        np.ix_((2 * np.arange(high) + 1) * rows // (2 * high), (2 * np.arange(wide) + 1) * columns // (2 * wide))
    ]


def test_a_picture_per_period_is_named_after_variable_and_month(tmp_path: Path) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=3), ["red", "green", "blue", "nir"], name="ndsi-ish")
    paths = draw(uri, tmp_path / "out" / "pictures", (40, 60))
    names = [f"ndsi-ish_{month}" for month in ("2023-11", "2023-12", "2024-01")]
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    written = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert written == [f"{name}.{kind}" for name in names for kind in ("pgw", "png")]
    with rasterio.open(paths[0]) as picture:
        assert (picture.driver, picture.count) == ("PNG", 4)
    # 60 columns are 38.5 at latitude 50; 480 // 40 = 12
    assert read(paths[0]).shape == (4, 480, round(60 * math.cos(math.radians(49.98)) * 12))


def test_colours_come_from_their_bands_in_any_order(tmp_path: Path) -> None:
    numbers = np.full((1, 8, 8, 4), 1500, np.uint16)
    numbers[0, :4, :, 2] = 3000  # red
    numbers[0, :, :4, 0] = 3000  # blue
    uri = write_store(tmp_path / "cube.zarr", numbers, ["blue", "nir", "red", "green"])
    (path,) = draw(uri, tmp_path, (8, 8))
    red, green, blue, alpha = read(path)
    np.testing.assert_array_equal(red, np.where(shown(numbers[0, ..., 2], path) == 3000, 255, 0))
    np.testing.assert_array_equal(blue, np.where(shown(numbers[0, ..., 0], path) == 3000, 255, 0))
    assert (green == 0).all()
    assert (alpha == 255).all()


def test_without_red_green_and_blue_the_first_band_is_grey(tmp_path: Path) -> None:
    numbers = ramp(times=1, bands=2)
    uri = write_store(tmp_path / "cube.zarr", numbers, ["nir", "red"])
    (path,) = draw(uri, tmp_path, (40, 60))
    red, green, blue, _ = read(path).astype(int)
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)
    assert np.corrcoef(red.ravel(), shown(numbers[0, :, :, 0], path).ravel())[0, 1] > 0.95


def test_nodata_in_a_shown_band_is_transparent(tmp_path: Path) -> None:
    numbers = ramp(times=1)
    numbers[0, :10] = 0
    numbers[0, 20, 30, 1] = 0
    numbers[0, 21, 31, 3] = 0  # the near infrared is not shown
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue", "nir"])
    (path,) = draw(uri, tmp_path, (40, 60))
    assert np.array_equal(read(path)[3] == 0, shown((numbers[0, :, :, :3] == 0).any(axis=-1), path))


def test_all_periods_share_one_stretch(tmp_path: Path) -> None:
    numbers = ramp(times=2)
    numbers[1] += 1500
    numbers[:, 0, 0] = 2600
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue", "nir"])
    first, second = (read(path) for path in draw(uri, tmp_path, (40, 60)))
    assert np.array_equal(first[:, 0, 0], second[:, 0, 0])
    assert second[:3].mean() > first[:3].mean() + 50


def test_pixels_of_a_large_cube_are_averaged(tmp_path: Path) -> None:
    numbers = np.full((1, 40, 64, 3), 1000, np.uint16)
    numbers[0, :20, ::2] = 3000  # stripes that are narrower than a pixel of the picture
    numbers[0, :20, 1::2] = 2000
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue"])
    (path,) = draw(uri, tmp_path, (40, 64), max_side=4)
    picture = read(path)
    assert picture.shape == (4, 4, 4)
    assert len(np.unique(picture[0])) == 2  # neither 2000 nor 3000, but 2500


def test_periods_and_corners_are_part_of_the_picture(tmp_path: Path) -> None:
    """Two months differ in the caption alone if their pixels are equal."""
    numbers = np.full((2, 40, 60, 3), 1500, np.uint16)
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue"])
    first, second = (rasterio.open(path).read() for path in draw(uri, tmp_path, (40, 60)))
    differing = np.flatnonzero((first != second).any(axis=(0, 2)))
    assert len(differing) > 0
    assert differing.max() < 25
    assert (first[0, 25:40] < 100).any()  # corners


def test_a_cube_without_data_is_transparent(tmp_path: Path) -> None:
    numbers = np.zeros((1, 20, 20, 3), np.uint16)
    uri = write_store(tmp_path / "cube.zarr", numbers, ["red", "green", "blue"])
    (path,) = draw(uri, tmp_path, (20, 20))
    assert not read(path).any()


@pytest.mark.parametrize("options", [None, {}])
def test_a_file_uri_is_opened_like_a_path(tmp_path: Path, options: dict[str, str] | None) -> None:
    uri = write_store(tmp_path / "cube.zarr", ramp(times=1), ["red", "green", "blue", "nir"])
    from_path = write_quicklooks(uri, tmp_path / "a", storage_options=options)[0].read_bytes()
    from_uri = write_quicklooks(f"file://{uri}", tmp_path / "b", storage_options=options)[0].read_bytes()
    assert from_path == from_uri


def test_an_address_without_a_cube_is_refused_before_a_file_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no cube"):
        write_quicklooks(str(tmp_path / "none.zarr"), tmp_path / "out")
    xr.Dataset({"x": ("y", np.arange(3))}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=True)
    with pytest.raises(InputError, match="no variable with a `band` dimension"):
        write_quicklooks(str(tmp_path / "other.zarr"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
