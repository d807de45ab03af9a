"""`ardcube.open` with other libraries: netCDF4, GDAL, odc-geo, rioxarray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import odc.geo.xr  # noqa: F401  (registers `.odc`)
import pytest
import rasterio
import rioxarray
import xarray as xr
from odc.geo.cog import write_cog
from pyproj import Transformer
from shapely.geometry import box

import ardcube
from tests.ardcube.api_cube import cube_of

HOLE = (11.95, 46.85, 12.0, 46.88)
GRIDS = {"EPSG:4326": 0.00025, "EPSG:3035": 25.0}


@pytest.fixture(scope="module", params=GRIDS)
def crs(request: pytest.FixtureRequest) -> str:
    """The CRS of the cube: degrees, and metres."""
    return str(request.param)


@pytest.fixture(scope="module")
def uri(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory, crs: str) -> Path:
    store = tmp_path_factory.mktemp("export") / "cube.zarr"
    ardcube.build(cube_of(sample_archive, crs=crs, resolution=GRIDS[crs]), store)
    return store


@pytest.fixture(scope="module", params=["ardcube", "xarray"])
def cube(uri: Path, request: pytest.FixtureRequest) -> Iterator[xr.Dataset]:
    """The cube, opened by both ways that the documentation names."""
    with ardcube.open(uri) if request.param == "ardcube" else xr.open_zarr(uri) as opened:
        yield opened


def plane(cube: xr.Dataset) -> tuple[str, str]:
    """Return the names of the dimensions of rows and columns."""
    _, rows, columns = map(str, cube["observation_count"].dims)
    return rows, columns


def band_first(cube: xr.Dataset) -> xr.DataArray:
    return cube["rgb_median"].isel(time=1).transpose("band", *plane(cube))


def is_in(raster: Any, crs: str) -> bool:
    return raster.crs.to_epsg() == int(crs.removeprefix("EPSG:"))


def test_reflectance_that_was_computed_with_survives_netcdf4_and_gdal(
    cube: xr.Dataset, crs: str, tmp_path: Path
) -> None:
    doubled = cube["rgb_median"].sel(band="nir") * 2.0
    doubled.attrs.pop("zarr_conventions", None)  # netCDF has no lists of objects; ardcube.open leaves them out
    doubled.to_netcdf(tmp_path / "nir.nc", engine="netcdf4")
    expected = doubled.to_numpy()
    assert np.isfinite(expected).sum() > 10_000
    with netCDF4.Dataset(tmp_path / "nir.nc") as file:
        np.testing.assert_array_equal(np.ma.filled(file["rgb_median"][:], np.nan), expected)
    with rasterio.open(f"netcdf:{tmp_path}/nir.nc:rgb_median") as raster:
        np.testing.assert_array_equal(raster.read(masked=True).filled(np.nan), expected)
        assert is_in(raster, crs)
        assert np.allclose(raster.bounds, cube.rio.bounds())
    with xr.open_dataset(tmp_path / "nir.nc") as again:
        np.testing.assert_array_equal(again["rgb_median"], expected)
        assert is_in(again.rio, crs)


def test_a_whole_cube_is_written_as_netcdf(uri: Path, tmp_path: Path) -> None:
    with ardcube.open(uri) as cube:
        cube.to_netcdf(tmp_path / "cube.nc", engine="netcdf4")
        with xr.open_dataset(tmp_path / "cube.nc", decode_coords="all") as again:
            xr.testing.assert_equal(again, cube)
            assert again.attrs["history"] == cube.attrs["history"]
        with netCDF4.Dataset(tmp_path / "cube.nc") as file:
            assert "_FillValue" not in file[plane(cube)[0]].ncattrs()  # CF permits none for a coordinate
            assert file["time"].bounds == "time_bnds"
            assert file["rgb_median"].ancillary_variables == "observation_count"
            assert file["observation_count"].grid_mapping == "spatial_ref"


def test_odc_geo_writes_all_bands_as_one_cog(cube: xr.Dataset, crs: str, tmp_path: Path) -> None:
    month = band_first(cube)
    write_cog(month, str(tmp_path / "month.tif"))
    with rasterio.open(tmp_path / "month.tif") as raster:
        np.testing.assert_array_equal(raster.read(), month.to_numpy())
        assert is_in(raster, crs)
    cube["observation_count"].odc.write_cog(str(tmp_path / "count.tif"))
    with rasterio.open(tmp_path / "count.tif") as raster:
        np.testing.assert_array_equal(raster.read(), cube["observation_count"].to_numpy())


def test_rioxarray_clips_the_whole_dataset(cube: xr.Dataset) -> None:
    rows, columns = plane(cube)
    hole = box(*Transformer.from_crs("EPSG:4326", cube.rio.crs, always_xy=True).transform_bounds(*HOLE))
    clipped = cube.rio.clip([hole])
    assert clipped.sizes[rows] < cube.sizes[rows]
    assert clipped["rgb_median"].dims == cube["rgb_median"].dims
    expected = cube["observation_count"].sel({rows: clipped[rows], columns: clipped[columns]})
    inside = clipped["observation_count"].to_numpy() > 0
    assert inside.mean() > 0.9
    np.testing.assert_array_equal(clipped["observation_count"].to_numpy()[inside], expected.to_numpy()[inside])
    assert set(clipped.data_vars) == {"rgb_median", "observation_count"}


def test_rioxarray_reprojects_a_month_or_all_months_of_each_band(cube: xr.Dataset) -> None:
    month = cube.isel(time=1).transpose(..., *plane(cube)).rio.reproject("EPSG:32633")
    assert month.rio.crs.to_epsg() == 32633
    assert month["rgb_median"].dims == ("band", "y", "x")
    assert month["observation_count"].dims == ("y", "x")
    bands = cube["rgb_median"].to_dataset("band").rio.reproject("EPSG:32633")
    assert bands["nir"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(bands["nir"][1], month["rgb_median"].sel(band="nir"))
    assert np.isfinite(bands["nir"]).sum() > 10_000


def test_rioxarray_writes_a_raster_of_reflectance(uri: Path, crs: str, tmp_path: Path) -> None:
    with ardcube.open(uri) as cube:
        month = band_first(cube)
        month.rio.to_raster(tmp_path / "month.tif")
    with rioxarray.open_rasterio(tmp_path / "month.tif", masked=True) as raster:
        np.testing.assert_array_equal(raster, month)
        assert np.isnan(raster.rio.encoded_nodata)
        assert is_in(raster.rio, crs)


def test_attributes_of_cubes_of_earlier_versions_are_not_passed_on(uri: Path, tmp_path: Path) -> None:
    import shutil

    import zarr

    old = tmp_path / "cube.zarr"
    shutil.copytree(uri, old)
    shutil.copytree(f"{uri}.ardcube", f"{old}.ardcube")
    group = zarr.open_group(old, use_consolidated=False)
    group["rgb_median"].attrs.update({"valid_min": 1, "valid_max": 65535, "units": "1"})
    group["observation_count"].attrs["units"] = "1"
    zarr.consolidate_metadata(old)
    with ardcube.open(old) as cube, ardcube.open(uri) as new:
        assert cube["rgb_median"].attrs == new["rgb_median"].attrs
        assert "units" not in cube["observation_count"].attrs
