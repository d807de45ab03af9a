"""Scenes on S3 at another endpoint, by options and by the environment, against moto."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs

from ardcube.collections.model import Definition
from ardcube.collections.parse import parse_definition
from ardcube.config import AssetAccess, Reader, RunConfig, S3Access
from ardcube.errors import AccessError, SceneError
from ardcube.prepare.file_access import asset_access
from ardcube.raster import refusals
from ardcube.raster.open import open_raster
from ardcube.raster.s3 import gdal_options
from tests.private_archive import definition_text
from tests.rasters import pixels, read, write, write_cog, write_jpeg_2000
from tests.servers.processes import S3, S3_KEY
from tests.servers.range_server import RangeServer

READERS: tuple[Reader, ...] = ("auto", "gdal")


@pytest.fixture
def bucket(moto_s3: S3, tmp_path: Path) -> S3:
    """Return a bucket with one file."""
    file = write_cog(tmp_path / "red.tif", pixels())
    files = s3fs.S3FileSystem(**moto_s3.storage_options, skip_instance_cache=True)
    files.pipe(moto_s3.uri("a/red.tif"), file.read_bytes())
    return moto_s3


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_REGION", "AWS_VIRTUAL_HOSTING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_KEY)
    monkeypatch.setattr(refusals, "_refused", {})


def access_by(*definitions: Definition, **options: Any) -> AssetAccess:
    return asset_access(definitions, RunConfig(fsspec_uri="cube.zarr", **options))


def test_an_option_sets_the_endpoint_of_scenes(bucket: S3) -> None:
    access = access_by(asset_access="signed", asset_endpoint_url=bucket.endpoint_url, asset_region="us-east-1")
    raster = open_raster(bucket.uri("a/red.tif"), "option", access)
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())


def test_the_endpoint_of_the_environment_is_that_of_the_store(bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint_url)
    raster = open_raster(bucket.uri("a/red.tif"), "environment", "signed")
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["red.tif", "lzw.tif", "red.jp2"])
def test_a_truncated_file_on_s3_is_found_by_its_length(bucket: S3, tmp_path: Path, reader: Reader, name: str) -> None:
    write_cog(tmp_path / "red.tif", pixels(601, 399))
    write(tmp_path / "lzw.tif", pixels(601, 399), compress="lzw")
    write_jpeg_2000(tmp_path / "red.jp2", pixels())
    content = (tmp_path / name).read_bytes()
    access = access_by(asset_access="signed", asset_endpoint_url=bucket.endpoint_url)
    uri = bucket.uri(f"cut/{reader}/{name}")
    files = s3fs.S3FileSystem(**bucket.storage_options, skip_instance_cache=True)
    files.pipe(uri, content[: len(content) // 2])
    with pytest.raises(
        SceneError, match=f"{uri} cannot be read: it is truncated, with {len(content) // 2} of at least"
    ):
        open_raster(uri, "", access, reader)
    files.pipe(uri, b"")
    with pytest.raises(SceneError, match=f"{uri} cannot be read: it is empty$"):
        open_raster(uri, "", access, reader)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_on_s3_is_a_scene_error(bucket: S3, reader: Reader) -> None:
    access = access_by(asset_access="signed", asset_endpoint_url=bucket.endpoint_url)
    with pytest.raises(SceneError, match=r"a/nothing\.tif cannot be read: it does not exist$"):
        open_raster(bucket.uri("a/nothing.tif"), "", access, reader)


def test_a_private_file_needs_signed_access(bucket: S3) -> None:
    access = access_by(asset_endpoint_url=bucket.endpoint_url)
    with pytest.raises(AccessError, match=r"access is refused \(HTTP 403\); set asset-access to signed"):
        open_raster(bucket.uri("a/red.tif"), "private", access)


@pytest.mark.parametrize("reader", READERS)
def test_a_definition_names_the_endpoint_of_its_buckets(
    bucket: S3, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # that of the store
    stated = f'{{ kind = "signed", endpoint_url = "{bucket.endpoint_url}", region = "us-east-1" }}'
    access = access_by(parse_definition(definition_text("mine", f"s3://{bucket.bucket}", stated), "mine.toml"))
    raster = open_raster(bucket.uri("a/red.tif"), "definition", access, reader)
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("kind", "payer"), [("requester-pays", "requester"), ("signed", None), ("unsigned", None)])
def test_the_requester_pays_with_each_request(
    tmp_path: Path, range_server: Callable[[Path], RangeServer], reader: Reader, kind: str, payer: str | None
) -> None:
    (tmp_path / "usgs-landsat").mkdir()
    write_cog(tmp_path / "usgs-landsat" / "red.tif", pixels(), nodata=0)
    server = range_server(tmp_path)
    stated = f'{{ kind = "{kind}", endpoint_url = "{server.url}", region = "us-west-2" }}'
    access = access_by(parse_definition(definition_text("mine", "s3://usgs-landsat", stated), "mine.toml"))
    raster = open_raster("s3://usgs-landsat/red.tif", f"{server.url} {reader}", access, reader)
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())
    assert server.requests
    assert {request.headers.get("X-Amz-Request-Payer") for request in server.requests} == {payer}
    signed = {"us-west-2" in request.headers.get("Authorization", "") for request in server.requests}
    assert signed == {kind != "unsigned"}


def test_options_precede_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gdal_options("unsigned") == {"AWS_NO_SIGN_REQUEST": "YES"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    by_environment = {"AWS_S3_ENDPOINT": "store:9000", "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    assert gdal_options("signed") == by_environment
    given = S3Access("signed", "https://scenes.example.org", "eu-west-1")
    assert gdal_options(given) == {
        "AWS_S3_ENDPOINT": "scenes.example.org",
        "AWS_HTTPS": "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_REGION": "eu-west-1",
    }
    monkeypatch.setenv("AWS_S3_ENDPOINT", "gdal:9000")  # GDAL reads its own variable
    assert gdal_options("signed") == {}


def test_without_options_access_is_the_mode() -> None:
    assert access_by(asset_access="signed") == "signed"
    assert access_by(asset_region="eu-west-1") == S3Access("unsigned", "", "eu-west-1")


@pytest.mark.parametrize(
    "text", ["InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist", "code: 403"]
)
def test_refused_credentials_name_what_to_set(text: str) -> None:
    error = refusals.explain_refusal("s3://scenes/a/red.tif", text)
    assert isinstance(error, AccessError)
    assert "set asset-access to signed or requester-pays, and AWS credentials in the environment" in str(error)
