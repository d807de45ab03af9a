"""Cubes with the storage backend icechunk, built by the flow: workers write into forks, the flow commits."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

import ardcube
from ardcube.exporting.request import Wanted
from ardcube.report.summary import ChunksFailedError
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.cli import cli
from flows.export_cube import export_cube
from flows.retry_cube import retry_cube
from tests.ardcube.api_cube import cube_of
from tests.flows.jobs import run_config
from tests.servers import processes
from tests.servers.processes import S3, DaskCluster

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_workers_of_a_cluster_write_a_version_that_the_flow_publishes_once_it_is_complete(
    sample_archive: Path, tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    archive = Path(shutil.copytree(sample_archive, tmp_path / "archive"))
    band = next((archive / "S2A_T32TQS_20230612T101539_L2A").glob("*B04*"))
    content = band.read_bytes()
    band.write_bytes(b"no raster")
    uri, plain = tmp_path / "cube", tmp_path / "plain.zarr"
    options = {"serverless_backend": "dask", "scheduler_address": dask_cluster.address, "storage_backend": "icechunk"}
    run = run_config(uri, retries=1, batch_size=3, **options)
    with pytest.raises(ChunksFailedError) as caught:
        build_cube(cube_of(archive), run)
    lost = caught.value.summary.failed
    assert 0 < lost < 12
    with pytest.raises(ardcube.InputError, match="no version is published yet"):
        ardcube.open(uri)
    band.write_bytes(content)
    assert retry_cube(run_config(uri)).failed == 0
    ardcube.build(cube_of(archive), plain)
    cube, expected = ardcube.open(uri).load(), ardcube.open(plain).load()
    assert cube.attrs.pop("version") == "v1"
    xr.testing.assert_equal(cube, expected)
    listed = CliRunner().invoke(cli, ["history", str(uri)], catch_exceptions=False).output.splitlines()
    assert [line.split()[0] for line in listed] == ["version", "v1"]
    assert listed[1].endswith("12 chunks, 2023-05 to 2023-06")
    pictures = CliRunner().invoke(
        cli, ["quicklook", str(uri), "--at", "v1", "--output", str(tmp_path / "pictures")], catch_exceptions=False
    )
    assert len(pictures.output.splitlines()) == 2


def test_workers_of_a_cluster_write_a_version_on_s3_and_export_it(
    sample_archive: Path, tmp_path: Path, moto_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_s3.environment.items():
        monkeypatch.setenv(name, value)
    uri, plain = moto_s3.uri("cubes/ice"), tmp_path / "plain.zarr"
    storage = {"endpoint_url": moto_s3.endpoint_url}
    cube = cube_of(sample_archive, end_date="2023-05-31")
    with processes.dask_cluster(tmp_path, env=moto_s3.environment) as cluster:
        options = {"serverless_backend": "dask", "scheduler_address": cluster.address, "storage_options": storage}
        run = run_config(uri, batch_size=2, storage_backend="icechunk", stac="inside", **options)
        summary = build_cube(cube, run)
        to = run_config(moto_s3.uri("files"), **options)
        exported = export_cube(uri, Wanted(variables=("rgb_median", "observation_count")), to).written
    assert (summary.chunks, summary.failed) == (6, 0)
    ardcube.build(cube, plain)
    bucket = Place.at(moto_s3.uri(""), storage)
    for name in ("rgb_median", "observation_count"):
        (file,) = ardcube.export(plain, tmp_path / "files", variables=[name]).written
        (on_s3,) = [one for one in exported if name in one]
        with rasterio.open(file) as wanted, rasterio.open(io.BytesIO(bucket.fs.cat_file(on_s3))) as raster:
            np.testing.assert_array_equal(raster.read(), wanted.read())
    item = json.loads(bucket.fs.cat_file(moto_s3.uri("cubes/ice/items/ice_2023-05.json")))
    assert (item["assets"]["zarr"]["href"], item["assets"]["zarr"]["icechunk:tag"]) == ("..", "v1")
    found, expected = ardcube.open(uri, storage_options=storage).load(), ardcube.open(plain).load()
    assert found.attrs.pop("version") == "v1"
    xr.testing.assert_equal(found, expected)
