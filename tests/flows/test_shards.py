"""Cubes whose chunks are stored in shards: the same pixels in fewer objects, however they came about."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flows.build_cube import build_cube
from tests.flows.jobs import Pixels, environment_of, pixels, records, run_config, sample_cube
from tests.servers.processes import S3, DaskCluster

pytestmark = pytest.mark.usefixtures("prefect_server")

CHUNKS = {"chunk_size": 40, "bands": ("red",)}  # 2 x 4 chunks in each of three months
SHARDS = {**CHUNKS, "shard": 2}  # two shards in each


@pytest.fixture(scope="module")
def unsharded(sample_archive: Path, prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of chunks that are objects of their own."""
    uri = tmp_path_factory.mktemp("unsharded") / "cube.zarr"
    build_cube(sample_cube(sample_archive, **CHUNKS), run_config(uri))
    return uri


@pytest.fixture(scope="module")
def undisturbed(unsharded: Path) -> Pixels:
    """Its pixels."""
    return pixels(unsharded)


def objects(uri: Path) -> dict[str, bytes]:
    """Return the objects with pixels in a store."""
    return {
        str(file.relative_to(uri)): file.read_bytes()
        for array in ("rgb_median", "observation_count")
        for file in (uri / array).glob("c/**/*")
        if file.is_file()
    }


def test_shards_hold_equal_pixels_in_a_quarter_of_the_objects_and_records(
    unsharded: Path, undisturbed: Pixels, sample_archive: Path, tmp_path: Path
) -> None:
    uri = tmp_path / "cube.zarr"
    summary = build_cube(sample_cube(sample_archive, **SHARDS), run_config(uri))
    assert pixels(uri) == undisturbed
    assert undisturbed.values.any()
    assert (summary.chunks, len(records(uri)), len(records(unsharded))) == (6, 6, 24)
    full = sum(record.status == "written" for record in records(uri).values())
    assert len(objects(uri)) == 2 * full <= 12
    assert len(objects(unsharded)) > 2 * len(objects(uri))

    dataset = xr.open_zarr(str(uri))
    assert dataset.rgb_median.chunksizes["latitude"] == (40, 40)
    red = dataset.rgb_median.sel(band="red", time="2023-06").isel(time=0)
    raw = undisturbed.values[1, ..., 0]
    np.testing.assert_allclose(red.to_numpy(), np.where(raw == 0, np.nan, raw * 0.0001 - 0.1), atol=1e-7)


def test_shards_that_are_done_are_not_built_again(sample_archive: Path, undisturbed: Pixels, tmp_path: Path) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **SHARDS)
    build_cube(cube, run_config(uri, limit=3))
    before, stored = records(uri), objects(uri)
    summary = build_cube(cube, run_config(uri))
    assert (summary.already_done, summary.written + summary.empty) == (len(before), 6 - len(before)) == (3, 3)
    after = records(uri)
    assert {key: after[key] for key in before} == before
    assert {name: content for name, content in objects(uri).items() if name in stored} == stored
    assert pixels(uri) == undisturbed


def test_a_later_end_date_adds_shards_and_changes_no_existing_shard(
    sample_archive: Path, undisturbed: Pixels, tmp_path: Path
) -> None:
    uri = tmp_path / "cube.zarr"
    build_cube(sample_cube(sample_archive, **SHARDS, end_date="2023-06-30"), run_config(uri))
    before = objects(uri)
    summary = build_cube(sample_cube(sample_archive, **SHARDS), run_config(uri))
    assert (summary.already_done, summary.written + summary.empty) == (4, 2)
    after = objects(uri)
    assert {name: after[name] for name in before} == before
    assert pixels(uri) == undisturbed


def test_two_workers_build_the_same_cube(
    sample_archive: Path, undisturbed: Pixels, tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    uri = tmp_path / "cube.zarr"
    backend = {"serverless_backend": "dask", "scheduler_address": dask_cluster.address, "threads": None}
    build_cube(sample_cube(sample_archive, **SHARDS), run_config(uri, **backend, batch_size=1))
    assert pixels(uri) == undisturbed
    assert [len(record.attempts) for record in records(uri).values()] == [1] * 6


def test_on_an_object_store_each_shard_is_put_once_and_none_is_read_before_the_summary(
    sample_archive: Path, undisturbed: Pixels, moto_s3: S3, caplog: pytest.LogCaptureFixture
) -> None:
    uri, endpoint = moto_s3.uri("alps.zarr"), {"endpoint_url": moto_s3.endpoint_url}
    with environment_of(moto_s3.environment):
        with caplog.at_level(logging.INFO, "werkzeug"):
            build_cube(sample_cube(sample_archive, **SHARDS), run_config(uri, storage_options=endpoint))
        asked = re.findall(r'"([A-Z]+) \S+alps.zarr/((?:rgb_median|observation_count)/c/\S+)', caplog.text)
        full = [record for record in records(uri, endpoint).values() if record.status == "written"]
        puts = asked[: 2 * len(full)]
        assert [method for method, _ in puts] == ["PUT"] * len(puts)
        assert len(set(puts)) == len(puts)
        # The summary's picture reads shards as a whole, whose size s3fs asks for.
        assert {method for method, _ in asked[len(puts) :]} == {"GET", "HEAD"}
        assert pixels(uri, endpoint) == undisturbed
