"""Validity: nodata of a file and of its item, masks and alpha bands, with both readers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import s3fs
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling

from ardcube.config import S3Access
from ardcube.errors import SceneError, TransientError
from ardcube.raster import http
from ardcube.raster.decode import DecodedBlock, Encoding, SourcePixels
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.header import Blocks, Level
from ardcube.raster.open import open_raster
from ardcube.raster.refusals import is_readable
from tests.raster_blocks import DecodedBand
from tests.rasters import ORIGIN, TILED, pixels, read, write, write_jpeg_2000
from tests.servers.processes import S3, S3_KEY
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
READERS = ("auto", "gdal")
VALID = np.tri(300, 256, dtype=bool)
"""Pixels that are not masked (row, column)."""
RUBBISH = 7777
FLAT = np.where(VALID, 1500, RUBBISH).astype(np.uint16)


def internal_mask(file: Path, **profile: Any) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), create(file, 1, **profile) as target:
        target.write(FLAT, 1)
        target.write_mask(VALID)
        target.build_overviews([2, 4], Resampling.average)
    return file


def mask_without_overviews(file: Path) -> Path:
    """The overviews are older than the mask."""
    with create(file, 1) as target:
        target.write(FLAT, 1)
        target.build_overviews([2, 4], Resampling.average)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(file, "r+") as target:
        target.write_mask(VALID)
    return file


def alpha(file: Path) -> Path:
    with create(file, 2) as target:
        target.write(FLAT, 1)
        target.write(np.where(VALID, 65535, 0).astype(np.uint16), 2)
        target.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
        target.build_overviews([2, 4], Resampling.average)
    return file


def create(file: Path, count: int, **profile: Any) -> Any:
    return rasterio.open(
        file, "w", driver="GTiff", height=300, width=256, count=count, dtype="uint16", crs="EPSG:32633",
        transform=ORIGIN, **(TILED | profile),
    )  # fmt: skip


def sidecar(file: Path) -> Path:
    with create(file, 1) as target:
        target.write(FLAT, 1)
        target.build_overviews([2, 4], Resampling.average)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(file, "r+") as target:
        target.write_mask(VALID)
    assert file.with_name(f"{file.name}.msk").exists()
    return file


MASKED: dict[str, Callable[[Path], Path]] = {
    "internal mask": internal_mask,
    "internal mask and nodata": lambda file: internal_mask(file, nodata=65535),
    "internal mask newer than the overviews": mask_without_overviews,
    "alpha": alpha,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", MASKED)
def test_masked_pixels_have_no_data(kind: str, reader: Any, tmp_path: Path, range_server: Serve) -> None:
    file = MASKED[kind](tmp_path / "red.tif")
    for href in (str(file), f"{range_server(tmp_path).url}/red.tif"):
        raster = open_raster(href, "", "unsigned", reader)
        assert raster.header.masked
        assert raster.header.samples == 1
        (level,) = raster.header.levels  # overviews may be older than the mask
        np.testing.assert_array_equal(read(raster, level), np.where(VALID, 1500, 0))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["local", "http", "signed", "s3"])
def test_a_mask_file_next_to_a_file_counts(
    kind: str, reader: Any, tmp_path: Path, range_server: Serve, moto_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, access = sidecar(tmp_path / "red.tif"), S3Access("signed", moto_s3.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_KEY)
    match kind:
        case "local":
            href = str(file)
        case "s3":
            href = moto_s3.uri("masked/red.tif")
            files = s3fs.S3FileSystem(**moto_s3.storage_options, skip_instance_cache=True)
            for suffix in ("", ".msk"):
                files.put_file(f"{file}{suffix}", f"{href}{suffix}")
        case _:
            href = f"{range_server(tmp_path).url}/red.tif{'?sig=abc' if kind == 'signed' else ''}"
    raster = open_raster(href, "", access, reader)
    (level,) = raster.header.levels
    np.testing.assert_array_equal(read(raster, level), np.where(VALID, 1500, 0))


@pytest.mark.parametrize("reader", READERS)
def test_only_remote_files_without_nodata_and_mask_are_asked_for_a_mask_file(
    reader: Any, tmp_path: Path, range_server: Serve
) -> None:
    internal_mask(tmp_path / "masked.tif")
    write(tmp_path / "declared.tif", pixels(), nodata=0)
    write(tmp_path / "red.tif", pixels())
    write_jpeg_2000(tmp_path / "red.jp2", pixels())
    server = range_server(tmp_path)
    for name in ("masked.tif", "declared.tif", "red.tif", "red.jp2"):
        open_raster(f"{server.url}/{name}", "", "unsigned", reader)
    asked = [request.path for request in server.requests if request.path.endswith(".msk")]
    assert asked == ["red.tif.msk", "red.jp2.msk"]


@pytest.mark.parametrize("reader", READERS)
def test_what_a_server_answers_for_a_mask_file_that_does_not_exist(
    reader: Any, tmp_path: Path, range_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "RETRY", {"max_retries": 0, "retry_timeout": timedelta(seconds=5)})
    write(tmp_path / "red.tif", pixels())
    for content in (b"", b"<html>not found</html>"):
        (tmp_path / "red.tif.msk").write_bytes(content)
        raster = open_raster(f"{range_server(tmp_path).url}/red.tif", "", "unsigned", reader)
        assert not raster.header.masked
    for status in (401, 403, 404, 410):
        server = range_server(tmp_path)
        server.fail("red.tif.msk", times=None, status=status)
        assert not open_raster(f"{server.url}/red.tif", "", "unsigned", reader).header.masked
        assert is_readable(server.url)
    server = range_server(tmp_path)
    server.fail("red.tif.msk", times=1, status=503)
    with pytest.raises(TransientError, match=r"red\.tif\.msk cannot be read: .*503"):  # there may be one
        open_raster(f"{server.url}/red.tif", "", "unsigned", reader)
    assert not open_raster(f"{server.url}/red.tif", "", "unsigned", reader).header.masked


@pytest.mark.parametrize("reader", READERS)
def test_a_mask_file_that_does_not_fit_is_refused(reader: Any, tmp_path: Path) -> None:
    file = sidecar(tmp_path / "red.tif")
    mask = tmp_path / "red.tif.msk"
    whole = mask.read_bytes()
    mask.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SceneError, match=r"red\.tif\.msk cannot be read: it is truncated"):
        open_raster(str(file), "", "unsigned", reader)
    write(mask, pixels(10, 20, "uint8"), overviews=False)
    with pytest.raises(SceneError, match=r"red\.tif has \(300, 256\) pixels, and .*red\.tif\.msk \(10, 20\)"):
        open_raster(str(file), "", "unsigned", reader)


def test_the_bands_of_a_file_are_counted_without_alpha(tmp_path: Path) -> None:
    with create(tmp_path / "stack.tif", 5, alpha="YES") as target:
        target.write(np.stack([FLAT] * 5))
    assert open_raster(str(tmp_path / "stack.tif"), "", "unsigned").header.samples == 4


# ---- nodata of the file and of the item ------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "stated", "missing"),
    [
        (None, None, {0}),
        (0, 0, {0}),
        (65535, None, {0, 65535}),
        (None, 65535, {0, 65535}),
        (7, 65535, {0, 7, 65535}),
        (65535, 7, {0, 7, 65535}),
        (7, 0, {0, 7}),
        (7, 7, {0, 7}),
    ],
)
@pytest.mark.parametrize("predicted", [False, True])
def test_nodata_of_the_file_and_of_the_item_both_count(
    declared: int | None, stated: int | None, missing: set[int], predicted: bool
) -> None:
    numbers = np.array([[0, 7, 8, 65535, 1500, 7, 0, 300]] * 8, np.uint16)
    found = decoded(numbers, Encoding.of(declared, stated), predicted)
    encoding = found.encoding
    valid = (found.values[..., 0] != 0) & (found.values[..., 0] != encoding.nodata)
    np.testing.assert_array_equal(valid, ~np.isin(numbers, list(missing)))
    np.testing.assert_array_equal(found.values[..., 0][valid], numbers[valid])
    assert found.holes.all()


def test_a_nodata_value_that_the_data_type_cannot_hold_means_nothing() -> None:
    numbers = pixels(8, 8, "uint8")
    found = decoded(numbers, Encoding.of(7, 65535), False)
    np.testing.assert_array_equal(found.values[..., 0], numbers)


def decoded(numbers: NDArray[Any], encoding: Encoding, predicted: bool) -> SourcePixels:
    level = Level(0, *numbers.shape, Affine.identity(), numbers.shape)
    stored = np.diff(numbers, axis=1, prepend=numbers.dtype.type(0)) if predicted else numbers
    band = DecodedBand([DecodedBlock(0, 0, stored, predicted)])
    blocks = Blocks(level, np.ones((1, 1), bool), 0, 0, *numbers.shape)
    return SourcePixels.decode([band], blocks, numbers.dtype.name, encoding)


def test_the_item_of_a_masked_file_is_read_by_gdal(tmp_path: Path) -> None:
    assert isinstance(open_raster(str(internal_mask(tmp_path / "red.tif")), "", "unsigned"), GdalRaster)
