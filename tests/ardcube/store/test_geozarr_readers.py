"""Other software reads a cube of layout geozarr: each level in its place, with its own pixels."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (adds .odc)
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store.layouts import levels_of
from tests import gdal_zarr
from tests.ardcube.pyramid_cube import build_levels, create, opened, random_values, spec_of, write_base

CENTRE = Transformer.from_crs(32633, 4326, always_xy=True).transform(505_635, 5_002_575)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> CubeSpec:
    """A cube of two periods and three levels."""
    place = Place.at(str(tmp_path_factory.mktemp("readers") / "cube.zarr"))
    spec = spec_of(place, ("median",), periods=2)
    create(place, spec, 256)
    records: dict[Any, Any] = {}
    for period in range(2):
        records |= write_base(spec, random_values(spec, period), 256, period)
    build_levels(spec, records, 256)
    return spec


@pytest.fixture(scope="module")
def numbers(spec: CubeSpec) -> list[NDArray[np.uint16]]:
    """Digital numbers of red in each level, (time, y, x)."""
    return [opened(spec, level)["red"].to_numpy() for level in range(3)]


def test_xarray_opens_all_levels_or_one(spec: CubeSpec, numbers: list[NDArray[np.uint16]]) -> None:
    with xr.open_datatree(spec.store_uri, engine="zarr", mask_and_scale=False) as tree:
        for level, expected in enumerate(numbers):
            np.testing.assert_array_equal(tree[f"{level}/red"], expected)
    with xr.open_zarr(spec.store_uri, group="0") as cube:
        reflectance = cube["red"].to_numpy()
    assert np.array_equal(np.isnan(reflectance), numbers[0] == 0)
    np.testing.assert_allclose(np.nan_to_num(reflectance), numbers[0] * 0.0001, atol=1e-9)


def test_rioxarray_and_odc_geo_find_the_grid_of_each_level(spec: CubeSpec) -> None:
    for number, level in enumerate(levels_of(spec)):
        with xr.open_zarr(spec.store_uri, group=str(number), decode_coords="all") as cube:
            assert cube["nir"].rio.crs.to_epsg() == 32633
            assert tuple(cube["nir"].rio.transform())[:6] == tuple(level.grid.transform)[:6]
            assert cube["nir"].rio.bounds() == level.grid.bounds
            assert cube.odc.geobox == level.grid.geobox


def test_gdal_reads_each_level(spec: CubeSpec, numbers: list[NDArray[np.uint16]]) -> None:
    assert gdal_zarr.version() >= (3, 12)
    for number, level in enumerate(levels_of(spec)):
        raster = gdal_zarr.read(Path(spec.store_uri), f"{number}/red")
        np.testing.assert_array_equal(raster.pixels, numbers[number])
        assert raster.geotransform == level.grid.transform.to_gdal()
        assert "UTM zone 33N" in raster.wkt


def test_rio_tiler_takes_the_level_that_suits_the_zoom(spec: CubeSpec, numbers: list[NDArray[np.uint16]]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This module is experimental")
        from rio_tiler.experimental.zarr import GroupReader

        group = zarr.open_group(spec.store_uri, mode="r")
        with GroupReader(group) as reader:
            assert reader.crs.to_epsg() == 32633
            assert reader.bounds == spec.grid.bounds
            assert (reader.height, reader.width) == (spec.grid.height, spec.grid.width)
            for level, zoom in enumerate((14, 12, 11)):  # pixels of 7, 27 and 54 m
                tile = reader.tms.tile(*CENTRE, zoom)
                image = reader.tile(tile.x, tile.y, tile.z, variables=["red"])
                found = {int(number) for number in image.array.compressed()}
                assert len(found) > 100
                read = [other for other in range(3) if found <= set(numbers[other].ravel().tolist())]
                assert level in read
                assert set(read) <= {0, level}, "pixels of a level are nearly all numbers of the first one too"


def test_titiler_serves_a_tile_of_each_level(spec: CubeSpec, numbers: list[NDArray[np.uint16]]) -> None:
    import morecantile
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from titiler.xarray.factory import TilerFactory

    app = FastAPI()
    app.include_router(TilerFactory().router)
    client = TestClient(app)
    for level, zoom in enumerate((14, 13, 12)):
        tile = morecantile.tms.get("WebMercatorQuad").tile(*CENTRE, zoom)
        answer = client.get(
            f"/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.npy",
            params={"url": spec.store_uri, "group": str(level), "variable": "red", "sel": "time=2023-02-01"},
        )
        assert answer.status_code == 200, answer.text
        values, mask = np.load(io.BytesIO(answer.content))
        found = np.unique(np.rint(values[(mask != 0) & np.isfinite(values)] / 0.0001).astype(int))
        assert len(found) > 100
        assert np.isin(found, numbers[level][1]).all()
