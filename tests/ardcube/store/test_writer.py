"""A chunk or shard is written to its region as one object of each array; no other object is read or written."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ardcube.chunk.open_cube import open_cube
from ardcube.errors import StoreError
from ardcube.extent.window import Window
from ardcube.storage.place import Place
from ardcube.store import schema
from ardcube.store.writer import CubeStore
from tests import gdal_zarr
from tests.ardcube.small_cube import GRID, create, create_sharded, objects, pattern, periods_until, spec_at, write_all
from tests.servers.processes import S3
from tests.strategies import FEW

# ---- chunks --------------------------------------------------------------------------------------


@FEW
@given(size=st.integers(16, 60), order=st.randoms(use_true_random=False))
def test_chunks_are_written_to_their_regions_in_any_order(size: int, order: object) -> None:
    """Tiles at the edge are smaller, and their region must not follow from their shape."""
    place = Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr")
    spec = spec_at(place, 2)
    schema.create(place, spec, periods_until(2), size)
    opened = CubeStore.open(spec)
    work = [(index, tile.window) for index in range(2) for tile in GRID.tiles(size)]
    order.shuffle(work)  # type: ignore[attr-defined]
    for index, window in work:
        opened.write_chunk(index, window, pattern(window, index), np.ones(window.shape, np.uint16))
    whole = Window(0, 30, 0, 50)
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        for index in range(2):
            np.testing.assert_array_equal(cube["rgb_median"][index], pattern(whole, index))
        assert (cube["observation_count"] == 1).all()


def test_a_chunk_writes_one_object_of_each_array(local: Place) -> None:
    spec = create(local)
    corner = Window(16, 30, 48, 50)
    CubeStore.open(spec).write_chunk(1, corner, pattern(corner), np.ones(corner.shape, np.uint16))
    assert objects(local, "rgb_median") == {"rgb_median/c/1/1/3/0"}
    assert objects(local, "observation_count") == {"observation_count/c/1/1/3"}


def test_a_chunk_without_observations_has_no_object(place: Place) -> None:
    spec = create(place)
    opened = CubeStore.open(spec)
    window = Window(0, 16, 0, 16)
    nothing = np.zeros((16, 16, 2), np.uint16), np.zeros((16, 16), np.uint16)
    opened.write_chunk(0, window, *nothing)
    assert objects(place, "rgb_median") == objects(place, "observation_count") == set()
    # A chunk whose scenes were withdrawn becomes empty, and its object is deleted.
    opened.write_chunk(0, window, pattern(window), np.ones((16, 16), np.uint16))
    assert len(objects(place, "rgb_median")) == 1
    opened.write_chunk(0, window, *nothing)
    assert objects(place, "rgb_median") == objects(place, "observation_count") == set()


def test_a_region_that_covers_an_object_in_part_is_refused(local: Place) -> None:
    """The other pixels of the object would be lost."""
    spec = create(local)
    write_all(spec)
    before = {name: local.read(name) for name in local.list()}
    opened = CubeStore.open(spec)
    for window in (Window(0, 15, 0, 16), Window(8, 24, 0, 16), Window(0, 16, 0, 49), Window(16, 30, 33, 50)):
        with pytest.raises(StoreError, match="cuts through the store's objects of 16 x 16 pixels"):
            opened.write_chunk(0, window, pattern(window), np.ones(window.shape, np.uint16))
    assert {name: local.read(name) for name in local.list()} == before


# ---- shards --------------------------------------------------------------------------------------


@settings(FEW, max_examples=10)
@given(chunk=st.integers(7, 40), shard=st.integers(2, 9), order=st.randoms(use_true_random=False))
def test_shards_written_in_any_order_hold_the_same_pixels_as_chunks(chunk: int, shard: int, order: object) -> None:
    place = Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr")
    opened = CubeStore.open(create_sharded(place, chunk, shard))
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


def test_a_shard_writes_one_object_of_each_array(place: Place) -> None:
    spec = create_sharded(place)
    write_all(spec, 16)
    before = {name: place.read(name) for name in place.list()}
    corner = Window(16, 30, 48, 50)
    other = pattern(corner) + np.uint16(1)
    CubeStore.open(spec).write_chunk(1, corner, other, np.ones(corner.shape, np.uint16))
    after = {name: place.read(name) for name in place.list()}
    assert {name for name in after if after[name] != before.get(name)} == {
        "rgb_median/c/1/1/3/0",
        "observation_count/c/1/1/3",
    }
    assert after.keys() == before.keys()


def test_a_shard_without_observations_has_no_object_and_empty_chunks_take_no_bytes(place: Place) -> None:
    spec = create_sharded(place)
    opened = CubeStore.open(spec)
    window, ones = Window(0, 16, 0, 16), np.ones((16, 16), np.uint16)
    opened.write_chunk(0, window, pattern(window), ones)
    full = len(place.read("rgb_median/c/0/0/0/0") or b"")
    quarter = pattern(window)
    quarter[8:], quarter[:, 8:] = 0, 0
    opened.write_chunk(0, window, quarter, ones)
    assert len(place.read("rgb_median/c/0/0/0/0") or b"") < full / 2
    opened.write_chunk(0, window, np.zeros_like(quarter), np.zeros_like(ones))
    assert objects(place, "rgb_median") == objects(place, "observation_count") == set()


def test_a_region_that_covers_a_shard_in_part_is_refused(local: Place) -> None:
    spec = create_sharded(local)
    chunk = Window(0, 8, 0, 8)
    with pytest.raises(StoreError, match="objects of 16 x 16 pixels"):
        CubeStore.open(spec).write_chunk(0, chunk, pattern(chunk), np.ones(chunk.shape, np.uint16))
    assert objects(local, "rgb_median") == set()


def test_a_damaged_shard_is_replaced_because_writing_reads_none(place: Place) -> None:
    spec = create_sharded(place)
    write_all(spec, 16)
    for name in objects(place, "rgb_median") | objects(place, "observation_count"):
        place.write(name, b"cut short")
    write_all(spec, 16)
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["rgb_median"][1], pattern(Window(0, 30, 0, 50), 1))


@pytest.mark.parametrize("shard", [1, 2])
def test_a_chunk_or_shard_is_two_put_requests_to_an_object_store(
    moto_s3: S3, caplog: pytest.LogCaptureFixture, shard: int
) -> None:
    place = Place.at(moto_s3.uri("cube.zarr"), moto_s3.storage_options)
    spec = spec_at(place, 1, storage_options=moto_s3.storage_options)
    schema.create(place, spec, periods_until(1), 16 // shard, shard)
    opened = open_cube(spec).store
    with caplog.at_level(logging.INFO, "werkzeug"):
        write_all(spec)  # new objects, including those at the edges
        opened.write_chunk(0, Window(0, 16, 0, 16), pattern(Window(0, 16, 0, 16)), np.ones((16, 16), np.uint16))
    asked = [record.getMessage().split('"')[1].split()[:2] for record in caplog.records if record.name == "werkzeug"]
    assert {method for method, _ in asked} == {"PUT"}
    paths = [path.split("cube.zarr/")[1] for _, path in asked]
    assert len(paths) == 2 * (8 + 1)
    assert set(paths) == objects(place, "rgb_median") | objects(place, "observation_count")


def test_gdal_reads_shards_from_version_3_13_on(local: Place) -> None:
    spec = create_sharded(local)
    write_all(spec, 16)
    if gdal_zarr.version() < (3, 13):
        with pytest.raises(AssertionError, match="Unsupported codec: sharding_indexed"):
            gdal_zarr.read(Path(local.path), "rgb_median")
    else:
        pixels = gdal_zarr.read(Path(local.path), "rgb_median").pixels
        np.testing.assert_array_equal(pixels[:2], pattern(Window(0, 30, 0, 50)).transpose(2, 0, 1))


# ---- other shapes --------------------------------------------------------------------------------


def test_a_worker_that_has_the_cube_open_writes_to_added_periods(place: Place) -> None:
    write_all(create(place, 2))
    schema.extend(place, "rgb_median", periods_until(4))
    write_all(spec_at(place, 4))
    with xr.open_zarr(place.uri, mask_and_scale=False) as cube:
        np.testing.assert_array_equal(cube["rgb_median"][3], pattern(Window(0, 30, 0, 50), 3))


def test_a_plan_of_another_shape_than_the_store_is_refused(local: Place) -> None:
    """zarr clips a region outside the array and reports nothing."""
    create(local, 2)
    with pytest.raises(StoreError, match=r"has shape \(2, 30, 50\), the plan \(3, 30, 50\)"):
        CubeStore.open(spec_at(local, 3))


def test_a_variable_that_the_store_lacks_is_refused(local: Place) -> None:
    create(local)
    with pytest.raises(StoreError, match="has no array other"):
        CubeStore.open(spec_at(local, varname="other"))
