"""Opening rasters: the choice of the reader, the cache of headers, and permanent and transient errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from ardcube.config import Reader
from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.raster import gdal_open
from ardcube.raster.cog import Cog
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.open import _open, open_raster
from ardcube.raster.tiff import Tag
from tests.rasters import ORIGIN, STRIPED, pixels, read, retag, write, write_cog
from tests.servers import processes
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
READERS: tuple[Reader, ...] = ("auto", "gdal")


@pytest.fixture(autouse=True)
def _no_headers_of_other_tests() -> Iterator[None]:
    _open.cache_clear()
    yield
    _open.cache_clear()


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable GDAL's retries, which wait for seconds; those of obstore take less than a second."""
    monkeypatch.setitem(gdal_open._HTTP_OPTIONS, "GDAL_HTTP_MAX_RETRY", 0)


# ---- choice of the reader ------------------------------------------------------------------------


def jpeg_2000(file: Path) -> Path:
    with rasterio.open(
        file, "w", driver="JP2OpenJPEG", count=1, dtype="uint16", height=301, width=255, crs="EPSG:32633",
        transform=ORIGIN, QUALITY=100, REVERSIBLE="YES", BLOCKXSIZE=128, BLOCKYSIZE=128,
    ) as target:  # fmt: skip
        target.write(pixels(), 1)
    return file


def pixel_is_point(file: Path) -> Path:
    write(file, pixels(), overviews=False)
    with rasterio.open(file, "r+") as target:
        target.update_tags(AREA_OR_POINT="Point")
        target.build_overviews([2, 4], Resampling.average)
    return file


READ_BY_GDAL: dict[str, Callable[[Path], Path]] = {
    "LZW": lambda file: write(file, pixels(), compress="lzw"),
    "ZSTD": lambda file: write(file, pixels(), compress="zstd"),
    "striped": lambda file: write(file, pixels(), layout=STRIPED),
    "big-endian": lambda file: write(file, pixels(), endianness="BIG"),
    "PixelIsPoint": pixel_is_point,
    "without an EPSG code": lambda file: write(file, pixels(), crs="+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"),
    "JPEG 2000": jpeg_2000,
}


@pytest.mark.parametrize("kind", READ_BY_GDAL)
def test_files_that_the_block_reader_does_not_support_are_read_by_gdal(
    kind: str, tmp_path: Path, range_server: Serve
) -> None:
    file = READ_BY_GDAL[kind](tmp_path / f"red.{'jp2' if kind == 'JPEG 2000' else 'tif'}")
    with rasterio.open(file) as source:
        expected, transform, overviews = source.read(1), source.transform, source.overviews(1)
    np.testing.assert_array_equal(expected, pixels())
    for href in (str(file), f"{range_server(tmp_path).url}/{file.name}"):
        raster = open_raster(href, "", "unsigned")
        assert isinstance(raster, GdalRaster)
        assert raster.header.levels[0].transform == transform
        assert len(raster.header.levels) == 1 + len(overviews)
        np.testing.assert_array_equal(read(raster, raster.header.levels[0]), expected)


def test_the_block_reader_is_the_default_and_gdal_an_option(tmp_path: Path) -> None:
    file = write(tmp_path / "red.tif", pixels())
    assert isinstance(open_raster(str(file), "", "unsigned"), Cog)
    assert isinstance(open_raster(str(file), "", "unsigned", "gdal"), GdalRaster)


@pytest.mark.parametrize(
    ("profile", "dtype", "message"),
    [
        ({"crs": None}, "uint16", "not a north-up raster"),
        ({"transform": ORIGIN @ ORIGIN.rotation(10)}, "uint16", "not a north-up raster"),
        ({}, "int32", "holds int32"),
    ],
)
def test_an_unusable_raster_raises_a_scene_error(
    tmp_path: Path, profile: dict[str, Any], dtype: str, message: str
) -> None:
    file = write(tmp_path / "odd.tif", np.ones((64, 64), dtype), overviews=False, **profile)
    with pytest.raises(SceneError, match=message):
        open_raster(str(file), "", "unsigned")


@pytest.mark.parametrize("reader", READERS)
def test_an_overview_of_another_data_type_raises_a_scene_error(tmp_path: Path, reader: Reader) -> None:
    file = retag(write(tmp_path / "odd.tif", pixels()), directory=1, tag=Tag.BITS, value=8)
    with pytest.raises(SceneError, match="holds uint16, and uint8 in an overview"):
        open_raster(str(file), "", "unsigned", reader)


# ---- cache of headers ----------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_a_header_is_read_once_per_process(tmp_path: Path, range_server: Serve, reader: Reader) -> None:
    write_cog(tmp_path / "red.tif", pixels())
    server = range_server(tmp_path)
    first = open_raster(f"{server.url}/red.tif", "one", "unsigned", reader)
    server.reset()
    assert open_raster(f"{server.url}/red.tif", "one", "unsigned", reader) is first
    assert server.requests == []


def test_a_file_is_opened_again_after_its_scene_was_reprocessed(tmp_path: Path) -> None:
    """The revision of the scene is part of the cache's key, because a worker may run for days."""
    file = write(tmp_path / "a.tif", np.ones((64, 64), np.uint16), overviews=False)
    assert open_raster(str(file), "old", "unsigned").header.levels[0].width == 64
    write(file, np.ones((64, 128), np.uint16), overviews=False)
    assert open_raster(str(file), "new", "unsigned").header.levels[0].width == 128


def test_a_failure_to_open_is_not_cached(tmp_path: Path) -> None:
    href = str(tmp_path / "late.tif")
    with pytest.raises(SceneError):
        open_raster(href, "", "unsigned")
    write(tmp_path / "late.tif", pixels())
    assert open_raster(href, "", "unsigned").header.levels


# ---- permanent and transient errors --------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_and_a_file_that_is_no_raster_are_permanent_errors(
    tmp_path: Path, range_server: Serve, reader: Reader
) -> None:
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("no raster")
    for folder in (str(tmp_path), range_server(tmp_path).url):
        for name in ("nothing.tif", "empty.tif", "text.tif"):
            with pytest.raises(SceneError, match=f"{name} cannot be read"):
                open_raster(f"{folder}/{name}", "", "unsigned", reader)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("length", [4, 8, 100])
def test_a_file_that_ends_in_its_header_is_truncated(tmp_path: Path, reader: Reader, length: int) -> None:
    file = write_cog(tmp_path / "red.tif", pixels())
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    with pytest.raises(SceneError, match=rf"red\.tif cannot be read: it is truncated, with {length} of at least"):
        open_raster(str(file), "", "unsigned", reader)
    file.write_bytes(whole)
    assert open_raster(str(file), "", "unsigned", reader).header.levels


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_and_a_path_through_a_file_are_permanent_errors(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "file").write_text("")
    for href in (tmp_path, tmp_path / "file" / "red.tif"):
        with pytest.raises(SceneError):
            open_raster(str(href), "", "unsigned", reader)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"status": 401}, AccessError),
        ({"status": 403}, AccessError),
        ({"status": 404}, SceneError),
        ({"status": 410}, SceneError),
        ({"status": 429}, TransientError),
        ({"status": 500}, TransientError),
        ({"status": 503}, TransientError),
        ({"kind": "reset"}, TransientError),
        ({"kind": "truncate"}, TransientError),
    ],
    ids=str,
)
@pytest.mark.usefixtures("one_try")
def test_refused_requests_are_permanent_and_server_faults_transient(
    tmp_path: Path, range_server: Serve, reader: Reader, rule: dict[str, Any], kind: type[Exception]
) -> None:
    # Large enough that GDAL does not accept the truncated half as the whole file.
    write_cog(tmp_path / "red.tif", pixels(601, 399))
    server = range_server(tmp_path)
    fault = server.fail("red.tif", times=None, **rule)
    start = time.monotonic()

    def attempt() -> np.ndarray:
        raster = open_raster(f"{server.url}/red.tif", "", "unsigned", reader)
        return read(raster, raster.header.levels[0])

    with pytest.raises(kind, match=r"red\.tif cannot be read") as caught:
        attempt()
    assert type(caught.value) is kind
    assert fault.fired > 0
    if kind is not TransientError:
        assert fault.fired <= 2  # GDAL requests the size once more
    assert time.monotonic() - start < 15
    server.heal()
    np.testing.assert_array_equal(attempt(), pixels(601, 399))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.usefixtures("one_try")
def test_an_unreachable_server_is_a_transient_error(reader: Reader) -> None:
    start = time.monotonic()
    with pytest.raises(TransientError, match="cannot be read"):
        open_raster(f"http://127.0.0.1:{processes.free_port()}/red.tif", "", "unsigned", reader)
    assert time.monotonic() - start < 15
