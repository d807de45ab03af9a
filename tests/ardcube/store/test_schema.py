"""The Zarr store: schema, extension, removal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from ardcube.errors import StoreError
from ardcube.extent.window import Window
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.writer import CubeStore
from tests.ardcube.small_cube import (
    CHUNK,
    GRID,
    create,
    create_sharded,
    objects,
    pattern,
    periods_until,
    spec_at,
    write_all,
)

# ---- schema --------------------------------------------------------------------------------------


def test_dimensions_types_fill_values_and_chunks(raw: xr.Dataset) -> None:
    composite, count = raw["rgb_median"], raw["observation_count"]
    assert composite.dims == ("time", "latitude", "longitude", "band")
    assert composite.shape == (3, 30, 50, 2)
    assert composite.dtype == count.dtype == np.uint16
    assert composite.encoding["chunks"] == (1, CHUNK, CHUNK, 2)
    assert count.dims == ("time", "latitude", "longitude")
    assert count.encoding["chunks"] == (1, CHUNK, CHUNK)
    assert not composite.any()
    assert not count.any()


def test_arrays_are_zarr_v3_with_blosc_zstd_and_shuffle(raw: xr.Dataset, local: Place) -> None:
    group = zarr.open_group(local.path, mode="r")
    assert group.metadata.zarr_format == 3
    assert group.metadata.consolidated_metadata is not None
    for name in ("rgb_median", "observation_count"):
        (codec,) = group[name].compressors
        settings = codec.to_dict()["configuration"]
        assert codec.to_dict()["name"] == "blosc"
        assert (settings["cname"], settings["clevel"], settings["shuffle"]) == ("zstd", 1, "shuffle")
        assert (settings["typesize"], settings["blocksize"]) == (2, 512 * 1024)
        assert group[name].fill_value == 0
        assert group[name].shards is None


def test_attributes_follow_the_cf_conventions(raw: xr.Dataset) -> None:
    assert raw.attrs["Conventions"].startswith("CF-1.")
    attributes = raw["rgb_median"].attrs
    assert attributes["scale_factor"] == 0.0001
    assert attributes["add_offset"] == -0.1
    assert attributes["_FillValue"] == 0
    # Limits would be those of digital numbers, and readers apply them to reflectance.
    assert not {"units", "valid_min", "valid_max"} & set(attributes)
    assert attributes["ancillary_variables"] == "observation_count"
    assert attributes["grid_mapping"] == "spatial_ref"
    assert raw["observation_count"].attrs["grid_mapping"] == "spatial_ref"
    assert "scale_factor" not in raw["observation_count"].attrs
    for name, axis, standard in (
        ("time", "T", "time"),
        ("latitude", "Y", "latitude"),
        ("longitude", "X", "longitude"),
    ):
        assert raw[name].attrs["axis"] == axis
        assert raw[name].attrs["standard_name"] == standard
    assert raw["latitude"].attrs["units"] == "degrees_north"
    assert raw["longitude"].attrs["units"] == "degrees_east"
    assert raw["time"].attrs["bounds"] == "time_bnds"


def test_xarray_decodes_reflectance_with_nan_and_time_with_bounds(place: Place) -> None:
    spec = create(place)
    write_all(spec)
    CubeStore.open(spec).write_chunk(
        1, Window(0, 16, 0, 16), np.zeros((16, 16, 2), np.uint16), np.zeros((16, 16), np.uint16)
    )
    with xr.open_zarr(place.uri) as cube:
        values = cube["rgb_median"]
        assert np.isnan(values[1, :16, :16]).all()
        assert values.isnull().sum() == 16 * 16 * 2
        expected = pattern(Window(0, 30, 0, 50), 2) * 0.0001 - 0.1
        np.testing.assert_allclose(values[2], expected, atol=1e-6)
        starts = cube["time"].values.astype("datetime64[D]").astype(str).tolist()
        assert starts == ["2023-01-01", "2023-02-01", "2023-03-01"]
        bounds = cube["time_bnds"].values.astype("datetime64[D]").astype(str).tolist()
        assert bounds == [
            ["2023-01-01", "2023-02-01"],
            ["2023-02-01", "2023-03-01"],
            ["2023-03-01", "2023-04-01"],
        ]
        assert "spatial_ref" in cube.coords
        assert cube["observation_count"].dtype == np.uint16
        assert cube["observation_count"][2].values.tolist() == np.full((30, 50), 3).tolist()


@pytest.mark.parametrize(
    ("chunk", "shard", "chunks", "shards"),
    [(8, 2, (8, 8), (16, 16)), (8, 4, (8, 8), (32, 32)), (8, 64, (8, 8), (32, 56)), (40, 2, (30, 40), (30, 80))],
)
def test_a_shard_holds_chunks_of_one_period_and_is_not_larger_than_the_grid_needs(
    local: Place, chunk: int, shard: int, chunks: tuple[int, int], shards: tuple[int, int]
) -> None:
    create_sharded(local, chunk, shard)
    group = zarr.open_group(local.path, mode="r")
    assert (group["rgb_median"].chunks, group["rgb_median"].shards) == ((1, *chunks, 2), (1, *shards, 2))
    assert (group["observation_count"].chunks, group["observation_count"].shards) == ((1, *chunks), (1, *shards))
    (codec,) = group["rgb_median"].compressors
    assert codec.to_dict()["configuration"]["typesize"] == 2
    with xr.open_zarr(local.uri) as cube:
        assert cube["rgb_median"].encoding["chunks"] == (1, *chunks, 2)


# ---- extension -----------------------------------------------------------------------------------


def test_extending_adds_periods_and_keeps_existing_chunks(place: Place) -> None:
    write_all(create(place, 2))
    before = {name: place.read(name) for name in objects(place, "rgb_median")}
    schema.extend(place, "rgb_median", periods_until(5))
    assert {name: place.read(name) for name in objects(place, "rgb_median")} == before
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        assert cube.sizes["time"] == 5
        assert cube["time"].dt.month.values.tolist() == [1, 2, 3, 4, 5]
        assert cube["time_bnds"].values.astype("datetime64[M]").astype(str)[-1].tolist() == [
            "2023-05",
            "2023-06",
        ]
        np.testing.assert_array_equal(cube["rgb_median"][1], pattern(Window(0, 30, 0, 50), 1))
        assert not cube["rgb_median"][2:].any()


def test_extending_again_changes_nothing(local: Place) -> None:
    create(local, 2)
    schema.extend(local, "rgb_median", periods_until(4))
    once = {name: local.read(name) for name in local.list()}
    schema.extend(local, "rgb_median", periods_until(4))
    assert {name: local.read(name) for name in local.list()} == once


def test_extending_adds_shards_and_keeps_existing_ones(place: Place) -> None:
    write_all(create_sharded(place), 16)
    before = {name: place.read(name) for name in objects(place, "rgb_median")}
    schema.extend(place, "rgb_median", periods_until(3))
    longer = spec_at(place, 3)
    with xr.open_zarr(place.uri) as cube:
        assert dict(cube.sizes)["time"] == 3
        assert cube["rgb_median"].encoding["shards"] == (1, 16, 16, 2)
    window = Window(0, 16, 0, 16)
    CubeStore.open(longer).write_chunk(2, window, pattern(window, 2), np.ones((16, 16), np.uint16))
    after = {name: place.read(name) for name in objects(place, "rgb_median")}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"rgb_median/c/2/0/0/0"}


# ---- creation and removal ------------------------------------------------------------------------


def test_a_store_exists_when_its_metadata_are_complete(place: Place) -> None:
    assert not schema.exists(place)
    create(place)
    assert schema.exists(place)


def test_an_incomplete_store_does_not_exist_and_is_created_again(local: Place) -> None:
    """The process was killed before it wrote the consolidated metadata."""
    spec = create(local)
    unfinished = json.loads(local.read("zarr.json") or b"")
    del unfinished["consolidated_metadata"]
    local.write("zarr.json", json.dumps(unfinished).encode())
    local.remove(name for name in local.list() if name.startswith(("observation_count", "band")))
    assert not schema.exists(local)
    schema.create(local, spec, periods_until(3), CHUNK)
    assert schema.exists(local)
    write_all(spec)
    with xr.open_zarr(local.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["latitude"], GRID.y(np.arange(30)))
        np.testing.assert_array_equal(cube["rgb_median"][2], pattern(Window(0, 30, 0, 50), 2))


def test_removing_a_cube_keeps_other_files(place: Place) -> None:
    write_all(create(place))
    place.write("notes.txt", b"mine")
    place.write("other_array/zarr.json", b"{}")
    schema.remove(place, "rgb_median")
    assert sorted(place.list()) == ["notes.txt", "other_array/zarr.json"]
    schema.remove(place, "rgb_median")
    assert sorted(place.list()) == ["notes.txt", "other_array/zarr.json"]


def test_removing_a_cube_removes_its_empty_folder(local: Place) -> None:
    write_all(create(local))
    schema.remove(local, "rgb_median")
    assert not Path(local.path).exists()


@pytest.mark.parametrize("varname", ["", ".", "..", "a/b", "../other"])
def test_a_name_that_is_no_variable_removes_nothing(local: Place, varname: str) -> None:
    create(local)
    before = local.list()
    with pytest.raises(StoreError, match="nothing was removed"):
        schema.remove(local, varname)
    assert local.list() == before


def test_a_cube_of_another_layout_replaces_one_that_the_process_has_open(local: Place) -> None:
    write_all(create(local))
    schema.remove(local, "rgb_median")
    spec = spec_at(local, fingerprint="another", bands=("red", "nir"))
    schema.create(local, spec, periods_until(3), 40)
    write_all(spec, 40)
    assert zarr.open_group(local.path, mode="r")["rgb_median"].chunks == (1, 30, 40, 2)
    assert "rgb_median/c/0/0/1/0" in objects(local, "rgb_median")
    assert "rgb_median/c/0/1/3/0" not in objects(local, "rgb_median")
    with xr.open_zarr(local.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["rgb_median"][0], pattern(Window(0, 30, 0, 50), 0))
