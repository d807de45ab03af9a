"""The layout geozarr: groups, names of arrays, conventions, extension, removal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from zarr_cm import multiscales, proj, spatial

from ardcube.errors import StoreError
from ardcube.storage.place import Place
from ardcube.store import layouts, schema
from tests.ardcube.pyramid_cube import GRID, create, random_values, spec_of, write_base
from tests.ardcube.small_cube import periods_until


def metadata(place: Place, name: str = "zarr.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.read(name) or b"")
    return found


@pytest.mark.parametrize(
    ("composites", "names"),
    [
        (("median",), {"red", "nir"}),
        (("median", "std"), {"median_red", "median_nir", "std_red", "std_nir"}),
        (
            ("median", "mads"),
            {"median_red", "median_nir", "geomedian_red", "geomedian_nir", "emad", "smad", "bcmad"},
        ),
    ],
)
def test_each_band_is_an_array_of_three_dimensions(local: Place, composites: tuple[str, ...], names: set[str]) -> None:
    spec = spec_of(local, composites)
    create(local, spec, 256)
    with xr.open_datatree(local.uri, engine="zarr") as tree:
        assert list(tree.children) == ["0", "1", "2"]
        for level in tree.children.values():
            assert set(level.data_vars) == names | {"observation_count"}
            assert all(data.dims == ("time", "y", "x") for data in level.data_vars.values())
            assert "band" not in level.coords


def test_the_root_lists_the_levels_with_their_grids(local: Place) -> None:
    spec = spec_of(local, ("median",))
    layouts.create(local, spec, periods_until(1), 256, attributes={"title": "a cube"})
    root = metadata(local)
    for convention in (multiscales, proj, spatial):
        convention.validate_group_metadata(root)
    assert root["attributes"]["title"] == "a cube"
    assert root["attributes"]["spatial:bbox"] == list(GRID.bounds)
    items = root["attributes"]["multiscales"]["layout"]
    for number, (item, level) in enumerate(zip(items, layouts.levels_of(spec), strict=True)):
        assert item["asset"] == str(number)
        assert item["spatial:shape"] == [level.grid.height, level.grid.width]
        assert item["spatial:transform"] == [10.0 * 2**number, 0, 500_000, 0, -10.0 * 2**number, 5_005_150]
        array = metadata(local, f"{number}/red/zarr.json")
        spatial.validate_array_metadata(array)
        assert array["shape"][1:] == array["attributes"]["spatial:shape"] == item["spatial:shape"]
        assert array["attributes"]["spatial:transform"] == item["spatial:transform"]
        group = metadata(local, f"{number}/zarr.json")
        proj.validate_group_metadata(group)
        assert "consolidated_metadata" in group
    assert "derived_from" not in items[0]
    assert [item["derived_from"] for item in items[1:]] == ["0", "1"]
    assert {tuple(item["transform"]["scale"]) for item in items[1:]} == {(2.0, 2.0)}


def test_levels_have_the_coordinates_of_their_pixels(local: Place) -> None:
    create(local, spec_of(local, ("median",)), 256)
    with xr.open_datatree(local.uri, engine="zarr") as tree:
        for number, level in enumerate(tree.children.values()):
            step = 10.0 * 2**number
            np.testing.assert_array_equal(level["x"], 500_000 + (np.arange(level.sizes["x"]) + 0.5) * step)
            np.testing.assert_array_equal(level["y"], 5_005_150 - (np.arange(level.sizes["y"]) + 0.5) * step)


def test_all_groups_are_extended_and_keep_their_chunks(place: Place) -> None:
    spec = spec_of(place, ("median",))
    create(place, spec, 256)
    write_base(spec, random_values(spec, 1), 256)
    before = {name: place.read(name) for name in place.list("0") if "/c/" in name}
    longer = replace(spec, periods=3)
    for _ in range(2):  # repeating it changes nothing
        layouts.extend(place, longer, periods_until(3), {"title": "longer"})
        layouts.check(place, longer, 256, 1)
        assert schema.exists(place)
        assert schema.read_attributes(place)["title"] == "longer"
    found = {name: place.read(name) for name in place.list("0") if "/c/" in name and "time" not in name}
    assert {name: before[name] for name in found} == found
    with xr.open_datatree(place.uri, engine="zarr") as tree:
        assert {level.sizes["time"] for level in tree.children.values()} == {3}


def test_a_level_of_another_shape_is_not_the_store_that_was_created(local: Place) -> None:
    spec = spec_of(local, ("median",))
    create(local, spec, 256)
    document = metadata(local, "1/nir/zarr.json")
    document["shape"][1] += 1
    local.write("1/nir/zarr.json", json.dumps(document).encode())
    with pytest.raises(StoreError, match=r"cube.zarr/1 is damaged.*shape of nir is"):
        layouts.check(local, spec, 256, 1)


def test_a_store_whose_root_is_not_complete_does_not_exist(local: Place) -> None:
    spec = spec_of(local, ("median",))
    create(local, spec, 256)
    local.remove(["zarr.json"])
    assert not schema.exists(local)
    create(local, spec, 256)
    assert schema.exists(local)


def test_removing_a_pyramid_keeps_files_of_others(local: Place) -> None:
    spec = spec_of(local, ("median",))
    create(local, spec, 256)
    write_base(spec, random_values(spec, 1), 256)
    others = ["notes.txt", "0/notes.txt", "9/time/notes.txt", "x/red/zarr.json"]
    for name in others:
        local.write(name, b"mine")
    layouts.remove(local, [array.name for array in spec.arrays], 3)
    assert sorted(local.list()) == sorted(others)
