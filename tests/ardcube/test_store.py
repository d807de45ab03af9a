"""The Zarr store: its schema as any reader sees it, growth, removal, and chunks that land where they belong."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube import store
from ardcube.errors import StoreError
from ardcube.grid import Grid, Window
from ardcube.periods import calendar_periods
from ardcube.plan import CubeSpec
from ardcube.storage import Place
from tests import gdal_zarr
from tests.servers.processes import S3
from tests.strategies import FEW, cube_spec

GRID = Grid.from_bounds((15.0, 46.0, 15.5, 46.3), 0.01)  # 50 x 30 pixels
BANDS = ("red", "nir")
CHUNK = 16


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place.at(str(tmp_path / "cube.zarr"))
    return Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr")


@pytest.fixture
def local(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path / "cube.zarr"))


def spec_at(place: Place, periods: int = 3, **more: object) -> CubeSpec:
    values: dict[str, object] = {"bands": BANDS, "varname": "rgb_median", "offset": -0.1}
    return cube_spec(GRID, place.uri, periods=periods, **values | more)


def periods_until(month: int, step: int = 1) -> tuple[object, ...]:
    return calendar_periods(date(2023, 1, 1), date(2023, month, 1), step)


def create(place: Place, months: int = 3) -> CubeSpec:
    spec = spec_at(place, months)
    store.create(place, spec, periods_until(months), CHUNK)
    return spec


def pattern(window: Window, time_index: int = 0) -> NDArray[np.uint16]:
    """Values (y, x, band) that tell every pixel of the cube apart."""
    t, y, x, b = np.ix_(
        [time_index],
        np.arange(window.y0, window.y1),
        np.arange(window.x0, window.x1),
        np.arange(len(BANDS)),
    )
    return (1 + t * 20_000 + (y * GRID.width + x) * len(BANDS) + b)[0].astype(np.uint16)


def write_all(spec: CubeSpec, size: int = CHUNK) -> None:
    opened = store.open_for_writing(spec)
    for index in range(spec.periods):
        for tile in GRID.tiles(size):
            count = np.full(tile.window.shape, index + 1, np.uint16)
            opened.write_chunk(index, tile.window, pattern(tile.window, index), count)


def objects(place: Place, array: str) -> set[str]:
    return {name for name in place.list(array) if "/c/" in name}


@pytest.fixture
def raw(local: Place) -> Iterator[xr.Dataset]:
    create(local)
    with xr.open_zarr(local.uri, mask_and_scale=False, decode_times=False) as cube:
        yield cube


# ---- schema --------------------------------------------------------------------------------------


def test_dimensions_types_fill_and_chunks(raw: xr.Dataset) -> None:
    composite, count = raw["rgb_median"], raw["observation_count"]
    assert composite.dims == ("time", "latitude", "longitude", "band")
    assert composite.shape == (3, 30, 50, 2)
    assert composite.dtype == count.dtype == np.uint16
    assert composite.encoding["chunks"] == (1, CHUNK, CHUNK, 2)
    assert count.dims == ("time", "latitude", "longitude")
    assert count.encoding["chunks"] == (1, CHUNK, CHUNK)
    assert not composite.any()
    assert not count.any()


def test_arrays_are_zarr_v3_with_zstd_and_shuffle(raw: xr.Dataset, local: Place) -> None:
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


def test_attributes_follow_cf(raw: xr.Dataset) -> None:
    assert raw.attrs["Conventions"].startswith("CF-1.")
    attributes = raw["rgb_median"].attrs
    assert attributes["scale_factor"] == 0.0001
    assert attributes["add_offset"] == -0.1
    assert attributes["_FillValue"] == 0
    assert attributes["units"] == "1"
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


def test_the_grid_mapping_says_where_the_pixels_lie(raw: xr.Dataset) -> None:
    mapping = raw["spatial_ref"].attrs
    assert int(raw["spatial_ref"]) == 4326
    assert mapping["grid_mapping_name"] == "latitude_longitude"
    assert "WGS 84" in mapping["crs_wkt"]
    west, dx, _, north, _, dy = map(float, mapping["GeoTransform"].split())
    assert (west, dx, north, dy) == (GRID.west, GRID.resolution, GRID.north, -GRID.resolution)


def test_coordinates_are_those_of_the_grid(raw: xr.Dataset) -> None:
    np.testing.assert_array_equal(raw["latitude"], GRID.latitude(np.arange(30)))
    np.testing.assert_array_equal(raw["longitude"], GRID.longitude(np.arange(50)))
    assert (np.diff(raw["latitude"]) < 0).all()
    assert raw["band"].values.tolist() == ["red", "nir"]


def test_xarray_shows_reflectance_with_nan_and_time_with_bounds(place: Place) -> None:
    spec = create(place)
    write_all(spec)
    store.open_for_writing(spec).write_chunk(
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


# ---- chunks --------------------------------------------------------------------------------------


@FEW
@given(size=st.integers(16, 60), order=st.randoms(use_true_random=False))
def test_every_chunk_lands_where_it_belongs_in_any_order(size: int, order: object) -> None:
    """Edge tiles too, which are smaller: a demo before this one placed them by their own shape."""
    place = Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr")
    spec = spec_at(place, 2)
    store.create(place, spec, periods_until(2), size)
    opened = store.open_for_writing(spec)
    work = [(index, tile.window) for index in range(2) for tile in GRID.tiles(size)]
    order.shuffle(work)  # type: ignore[attr-defined]
    for index, window in work:
        opened.write_chunk(index, window, pattern(window, index), np.ones(window.shape, np.uint16))
    whole = Window(0, 30, 0, 50)
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        for index in range(2):
            np.testing.assert_array_equal(cube["rgb_median"][index], pattern(whole, index))
        assert (cube["observation_count"] == 1).all()


def test_a_chunk_writes_its_own_object_and_no_other(local: Place) -> None:
    spec = create(local)
    corner = Window(16, 30, 48, 50)
    store.open_for_writing(spec).write_chunk(1, corner, pattern(corner), np.ones(corner.shape, np.uint16))
    assert objects(local, "rgb_median") == {"rgb_median/c/1/1/3/0"}
    assert objects(local, "observation_count") == {"observation_count/c/1/1/3"}


def test_a_chunk_of_nothing_leaves_no_object(place: Place) -> None:
    spec = create(place)
    opened = store.open_for_writing(spec)
    window = Window(0, 16, 0, 16)
    nothing = np.zeros((16, 16, 2), np.uint16), np.zeros((16, 16), np.uint16)
    opened.write_chunk(0, window, *nothing)
    assert objects(place, "rgb_median") == objects(place, "observation_count") == set()
    # And a chunk that became empty, since its scenes are gone, loses its object.
    opened.write_chunk(0, window, pattern(window), np.ones((16, 16), np.uint16))
    assert len(objects(place, "rgb_median")) == 1
    opened.write_chunk(0, window, *nothing)
    assert objects(place, "rgb_median") == objects(place, "observation_count") == set()


def test_a_region_that_cuts_through_an_object_is_refused_and_nothing_is_written(local: Place) -> None:
    """What else the object holds would be lost."""
    spec = create(local)
    write_all(spec)
    before = {name: local.read(name) for name in local.list()}
    opened = store.open_for_writing(spec)
    for window in (Window(0, 15, 0, 16), Window(8, 24, 0, 16), Window(0, 16, 0, 49), Window(16, 30, 33, 50)):
        with pytest.raises(StoreError, match="cuts through the store's objects of 16 x 16 pixels"):
            opened.write_chunk(0, window, pattern(window), np.ones(window.shape, np.uint16))
    assert {name: local.read(name) for name in local.list()} == before


# ---- shards --------------------------------------------------------------------------------------


def create_sharded(place: Place, chunk: int = 8, shard: int = 2, months: int = 2) -> CubeSpec:
    spec = spec_at(place, months)
    store.create(place, spec, periods_until(months), chunk, shard)
    return spec


@pytest.mark.parametrize(
    ("chunk", "shard", "chunks", "shards"),
    [(8, 2, (8, 8), (16, 16)), (8, 4, (8, 8), (32, 32)), (8, 64, (8, 8), (32, 56)), (40, 2, (30, 40), (30, 80))],
)
def test_a_shard_holds_chunks_of_one_period_and_is_no_larger_than_the_grid_needs(
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


@settings(FEW, max_examples=10)
@given(chunk=st.integers(7, 40), shard=st.integers(2, 9), order=st.randoms(use_true_random=False))
def test_shards_in_any_order_hold_what_chunks_hold(chunk: int, shard: int, order: object) -> None:
    place = Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr")
    opened = store.open_for_writing(create_sharded(place, chunk, shard))
    tiles = list(GRID.tiles(chunk * shard))
    work = [(index, tile.window) for index in range(2) for tile in tiles]
    order.shuffle(work)  # type: ignore[attr-defined]
    for index, window in work:
        opened.write_chunk(index, window, pattern(window, index), np.full(window.shape, index + 1, np.uint16))
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        for index in range(2):
            np.testing.assert_array_equal(cube["rgb_median"][index], pattern(Window(0, 30, 0, 50), index))
            assert (cube["observation_count"][index] == index + 1).all()
    assert len(objects(place, "rgb_median")) == len(objects(place, "observation_count")) == 2 * len(tiles)


def test_a_shard_is_one_object_of_each_array_and_touches_no_other(place: Place) -> None:
    spec = create_sharded(place)
    write_all(spec, 16)
    before = {name: place.read(name) for name in place.list()}
    corner = Window(16, 30, 48, 50)
    other = pattern(corner) + np.uint16(1)
    store.open_for_writing(spec).write_chunk(1, corner, other, np.ones(corner.shape, np.uint16))
    after = {name: place.read(name) for name in place.list()}
    assert {name for name in after if after[name] != before.get(name)} == {
        "rgb_median/c/1/1/3/0",
        "observation_count/c/1/1/3",
    }
    assert after.keys() == before.keys()


def test_a_shard_of_nothing_leaves_no_object_and_empty_chunks_take_no_room(place: Place) -> None:
    spec = create_sharded(place)
    opened = store.open_for_writing(spec)
    window, ones = Window(0, 16, 0, 16), np.ones((16, 16), np.uint16)
    opened.write_chunk(0, window, pattern(window), ones)
    full = len(place.read("rgb_median/c/0/0/0/0") or b"")
    quarter = pattern(window)
    quarter[8:], quarter[:, 8:] = 0, 0
    opened.write_chunk(0, window, quarter, ones)
    assert len(place.read("rgb_median/c/0/0/0/0") or b"") < full / 2
    opened.write_chunk(0, window, np.zeros_like(quarter), np.zeros_like(ones))
    assert objects(place, "rgb_median") == objects(place, "observation_count") == set()


def test_a_region_that_cuts_through_a_shard_is_refused(local: Place) -> None:
    spec = create_sharded(local)
    chunk = Window(0, 8, 0, 8)
    with pytest.raises(StoreError, match="objects of 16 x 16 pixels"):
        store.open_for_writing(spec).write_chunk(0, chunk, pattern(chunk), np.ones(chunk.shape, np.uint16))
    assert objects(local, "rgb_median") == set()


def test_a_damaged_shard_is_replaced_since_writing_never_reads_it(place: Place) -> None:
    spec = create_sharded(place)
    write_all(spec, 16)
    for name in objects(place, "rgb_median") | objects(place, "observation_count"):
        place.write(name, b"cut short")
    write_all(spec, 16)
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["rgb_median"][1], pattern(Window(0, 30, 0, 50), 1))


@pytest.mark.parametrize("shard", [1, 2])
def test_on_an_object_store_a_chunk_or_a_shard_is_two_puts_and_nothing_else(
    moto_s3: S3, caplog: pytest.LogCaptureFixture, shard: int
) -> None:
    place = Place.at(moto_s3.uri("cube.zarr"), moto_s3.storage_options)
    spec = spec_at(place, 1, storage_options=moto_s3.storage_options)
    store.create(place, spec, periods_until(1), 16 // shard, shard)
    opened = store.open_for_writing(spec)
    with caplog.at_level(logging.INFO, "werkzeug"):
        write_all(spec)  # new ones, those at the edges too
        opened.write_chunk(0, Window(0, 16, 0, 16), pattern(Window(0, 16, 0, 16)), np.ones((16, 16), np.uint16))
    asked = [record.getMessage().split('"')[1].split()[:2] for record in caplog.records if record.name == "werkzeug"]
    assert {method for method, _ in asked} == {"PUT"}
    paths = [path.split("cube.zarr/")[1] for _, path in asked]
    assert len(paths) == 2 * (8 + 1)
    assert set(paths) == objects(place, "rgb_median") | objects(place, "observation_count")


def test_growing_adds_shards_and_keeps_those_that_stand(place: Place) -> None:
    write_all(create_sharded(place), 16)
    before = {name: place.read(name) for name in objects(place, "rgb_median")}
    store.extend(place, "rgb_median", periods_until(3))
    longer = spec_at(place, 3)
    with xr.open_zarr(place.uri) as cube:
        assert dict(cube.sizes)["time"] == 3
        assert cube["rgb_median"].encoding["shards"] == (1, 16, 16, 2)
    window = Window(0, 16, 0, 16)
    store.open_for_writing(longer).write_chunk(2, window, pattern(window, 2), np.ones((16, 16), np.uint16))
    after = {name: place.read(name) for name in objects(place, "rgb_median")}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"rgb_median/c/2/0/0/0"}


def test_gdal_reads_shards_from_3_13_on_and_says_so_before(local: Place) -> None:
    spec = create_sharded(local)
    write_all(spec, 16)
    if gdal_zarr.version() < (3, 13):
        with pytest.raises(AssertionError, match="Unsupported codec: sharding_indexed"):
            gdal_zarr.read(Path(local.path), "rgb_median")
    else:
        pixels = gdal_zarr.read(Path(local.path), "rgb_median").pixels
        np.testing.assert_array_equal(pixels[:2], pattern(Window(0, 30, 0, 50)).transpose(2, 0, 1))


# ---- growth --------------------------------------------------------------------------------------


def test_growing_keeps_what_stands_and_adds_periods(place: Place) -> None:
    write_all(create(place, 2))
    before = {name: place.read(name) for name in objects(place, "rgb_median")}
    store.extend(place, "rgb_median", periods_until(5))
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


def test_a_period_that_was_clipped_gets_its_new_end(local: Place) -> None:
    spec = spec_at(local, 2)
    store.create(local, spec, periods_until(3, 2), CHUNK)
    store.extend(local, "rgb_median", periods_until(4, 2))
    with xr.open_zarr(local.uri) as cube:
        assert cube.sizes["time"] == 2
        bounds = cube["time_bnds"].values.astype("datetime64[M]").astype(str).tolist()
        assert bounds == [["2023-01", "2023-03"], ["2023-03", "2023-05"]]


def test_growing_twice_is_growing_once(local: Place) -> None:
    create(local, 2)
    store.extend(local, "rgb_median", periods_until(4))
    once = {name: local.read(name) for name in local.list()}
    store.extend(local, "rgb_median", periods_until(4))
    assert {name: local.read(name) for name in local.list()} == once


def test_a_worker_that_wrote_before_writes_to_the_periods_that_came_later(place: Place) -> None:
    write_all(create(place, 2))
    store.extend(place, "rgb_median", periods_until(4))
    write_all(spec_at(place, 4))
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["rgb_median"][3], pattern(Window(0, 30, 0, 50), 3))


def test_a_plan_of_another_shape_than_the_store_is_refused(local: Place) -> None:
    """Zarr would clip what lies outside without a word."""
    create(local, 2)
    with pytest.raises(StoreError, match=r"has shape \(2, 30, 50\), the plan \(3, 30, 50\)"):
        store.open_for_writing(spec_at(local, 3))


def test_a_variable_that_the_store_does_not_have_is_refused(local: Place) -> None:
    create(local)
    with pytest.raises(StoreError, match="has no array other"):
        store.open_for_writing(spec_at(local, varname="other"))


# ---- standing and falling ------------------------------------------------------------------------


def test_a_store_is_there_once_it_is_complete(place: Place) -> None:
    assert not store.is_there(place)
    create(place)
    assert store.is_there(place)


def test_a_part_of_a_store_is_not_there_and_is_finished_when_created_again(local: Place) -> None:
    """The program was killed before it had written the consolidated metadata."""
    spec = create(local)
    unfinished = json.loads(local.read("zarr.json") or b"")
    del unfinished["consolidated_metadata"]
    local.write("zarr.json", json.dumps(unfinished).encode())
    local.remove(name for name in local.list() if name.startswith(("observation_count", "band")))
    assert not store.is_there(local)
    store.create(local, spec, periods_until(3), CHUNK)
    assert store.is_there(local)
    write_all(spec)
    with xr.open_zarr(local.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["latitude"], GRID.latitude(np.arange(30)))
        np.testing.assert_array_equal(cube["rgb_median"][2], pattern(Window(0, 30, 0, 50), 2))


def test_removing_takes_the_cube_and_leaves_what_is_not_ours(place: Place) -> None:
    write_all(create(place))
    place.write("notes.txt", b"mine")
    place.write("other_array/zarr.json", b"{}")
    store.remove(place, "rgb_median")
    assert sorted(place.list()) == ["notes.txt", "other_array/zarr.json"]
    store.remove(place, "rgb_median")
    assert sorted(place.list()) == ["notes.txt", "other_array/zarr.json"]


def test_removing_the_whole_of_a_folder_removes_the_folder(local: Place) -> None:
    write_all(create(local))
    store.remove(local, "rgb_median")
    assert not Path(local.path).exists()


@pytest.mark.parametrize("varname", ["", ".", "..", "a/b", "../other"])
def test_nothing_is_removed_under_a_name_that_is_no_variable(local: Place, varname: str) -> None:
    create(local)
    before = local.list()
    with pytest.raises(StoreError, match="nothing was removed"):
        store.remove(local, varname)
    assert local.list() == before


def test_a_cube_of_another_layout_can_replace_one_in_the_same_process(local: Place) -> None:
    write_all(create(local))
    store.remove(local, "rgb_median")
    spec = spec_at(local, fingerprint="another", bands=("red", "nir"))
    store.create(local, spec, periods_until(3), 40)
    write_all(spec, 40)
    assert zarr.open_group(local.path, mode="r")["rgb_median"].chunks == (1, 30, 40, 2)
    assert "rgb_median/c/0/0/1/0" in objects(local, "rgb_median")
    assert "rgb_median/c/0/1/3/0" not in objects(local, "rgb_median")
    with xr.open_zarr(local.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["rgb_median"][0], pattern(Window(0, 30, 0, 50), 0))
