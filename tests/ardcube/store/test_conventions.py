"""The Zarr conventions `proj` and `spatial`: they state the same grid as CF and the coordinates."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
from pyproj import CRS
from zarr_cm import proj, spatial

from ardcube.extent.grid import Grid
from ardcube.extent.lattice import Lattice
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.conventions import without_conventions
from tests.ardcube.small_cube import CHUNK, GRID, create, periods_until, spec_at

_WITHOUT_CODE = CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=12 +datum=WGS84 +units=m").to_wkt()
GRIDS = {
    "degrees": GRID,
    "antimeridian": Grid.from_bounds((179.7, -17.2, 180.3, -16.9), 0.01),
    "UTM": Grid.from_bounds((500_000, 5_000_000, 500_900, 5_000_600), 30.0, "EPSG:32633"),
    "LAEA": Grid.from_bounds((4_500_000, 2_600_000, 4_503_000, 2_602_000), 100.0, "EPSG:3035", "center"),
    "like": Grid(Lattice(_WITHOUT_CODE, 3.25, -1.5, 20.0, -25.0), -40, 17, 33, 45),
}


def metadata(place: Place, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.read(name) or b"")
    return found


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_conventions_and_cf_describe_the_same_grid(local: Place, grid: Grid) -> None:
    schema.create(local, replace(spec_at(local, 2), grid=grid), periods_until(2), CHUNK)
    group = metadata(local, "zarr.json")
    proj.validate_group_metadata(group)
    spatial.validate_group_metadata(group)
    stated = group["attributes"]
    with xr.open_zarr(local.uri, decode_coords="all") as cube:
        rows, columns = stated["spatial:dimensions"]
        mapping = cube["spatial_ref"].attrs
        crs = CRS.from_wkt(stated["proj:wkt2"])
        assert crs == CRS.from_wkt(mapping["crs_wkt"])
        assert stated.get("proj:code") == (None if "[" in grid.lattice.crs else grid.lattice.crs)
        assert crs == CRS.from_user_input(stated.get("proj:code", _WITHOUT_CODE))
        for name in ("rgb_median", "observation_count"):
            array = metadata(local, f"{name}/zarr.json")
            spatial.validate_array_metadata(array)
            own = array["attributes"]
            assert own["spatial:dimensions"] == [rows, columns] == array["dimension_names"][1:3]
            assert own["spatial:shape"] == array["shape"][1:3]
            a, b, c, d, e, f = own["spatial:transform"]
            west, step_x, _, north, _, step_y = map(float, mapping["GeoTransform"].split())
            assert (a, b, c, d, e, f) == (step_x, 0, west, 0, step_y, north)
            height, width = own["spatial:shape"]
            np.testing.assert_allclose(cube[columns], c + (np.arange(width) + 0.5) * a, rtol=1e-14)
            np.testing.assert_allclose(cube[rows], f + (np.arange(height) + 0.5) * e, rtol=1e-14)
            np.testing.assert_allclose(stated["spatial:bbox"], (c, f + height * e, c + width * a, f), rtol=1e-14)
            assert tuple(cube[name].rio.transform())[:6] == pytest.approx((a, b, c, d, e, f), rel=1e-12)
            assert cube[name].rio.crs == cube[name].rio.crs.from_wkt(stated["proj:wkt2"])


def test_declarations_are_those_of_the_released_version(local: Place) -> None:
    create(local)
    declared = {one["name"]: one for one in metadata(local, "zarr.json")["attributes"]["zarr_conventions"]}
    assert {name: one["uuid"] for name, one in declared.items()} == {
        "proj": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "spatial": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    }
    assert all("/refs/tags/v0.1/" in one["schema_url"] for one in declared.values())


def test_a_cube_without_conventions_is_extended_and_stays_without(local: Place) -> None:
    spec = create(local, 2)
    for name in ("zarr.json", "rgb_median/zarr.json", "observation_count/zarr.json"):
        document = metadata(local, name)
        document["attributes"] = without_conventions(document["attributes"])
        local.write(name, json.dumps(document).encode())
    schema.extend(local, "rgb_median", periods_until(3))
    schema.check(local, replace(spec, periods=3), CHUNK, 1)
    assert b"zarr_conventions" not in (local.read("zarr.json") or b"")
    with xr.open_zarr(local.uri) as cube:
        assert cube.sizes["time"] == 3
