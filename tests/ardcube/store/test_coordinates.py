"""Coordinates by the CF conventions."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ardcube.storage.place import Place
from ardcube.store import schema
from tests.ardcube.small_cube import CHUNK, GRID, periods_until, spec_at


def test_the_grid_mapping_has_crs_and_geotransform(raw: xr.Dataset) -> None:
    mapping = raw["spatial_ref"].attrs
    assert int(raw["spatial_ref"]) == 4326
    assert mapping["grid_mapping_name"] == "latitude_longitude"
    assert "WGS 84" in mapping["crs_wkt"]
    west, dx, _, north, _, dy = map(float, mapping["GeoTransform"].split())
    assert (west, dx, north, dy) == (GRID.bounds[0], GRID.lattice.step_x, GRID.bounds[3], GRID.lattice.step_y)


def test_coordinates_are_the_pixel_centres_of_the_grid(raw: xr.Dataset) -> None:
    np.testing.assert_array_equal(raw["latitude"], GRID.y(np.arange(30)))
    np.testing.assert_array_equal(raw["longitude"], GRID.x(np.arange(50)))
    assert (np.diff(raw["latitude"]) < 0).all()
    assert raw["band"].values.tolist() == ["red", "nir"]


def test_the_bounds_of_a_clipped_period_are_extended(local: Place) -> None:
    spec = spec_at(local, 2)
    schema.create(local, spec, periods_until(3, 2), CHUNK)
    schema.extend(local, "rgb_median", periods_until(4, 2))
    with xr.open_zarr(local.uri) as cube:
        assert cube.sizes["time"] == 2
        bounds = cube["time_bnds"].values.astype("datetime64[M]").astype(str).tolist()
        assert bounds == [["2023-01", "2023-03"], ["2023-03", "2023-05"]]
