"""The block reader: the pixels of GDAL with few requests, unsupported files, and faults."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from ardcube.errors import ReplacedError, SceneError, TransientError
from ardcube.raster import complete, http
from ardcube.raster.cog import Cog
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.object_store import UnsupportedFileError
from ardcube.raster.tiff import Tag, read_directories
from ardcube.runtime.threads import Threads
from ardcube.runtime.usage import counting
from tests.rasters import ORIGIN, STRIPED, around, damage, pixels, read, write, write_cog, write_sparse
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
PLAIN = {"tiled": True, "blockxsize": 128, "blockysize": 128}


def agree(href: str) -> Cog:
    """Check that both readers return the same header, and the same pixels of every level."""
    block_reader, gdal = Cog.open(href), GdalRaster.open(href, "unsigned")
    assert block_reader.header == gdal.header
    for level in block_reader.header.levels:
        np.testing.assert_array_equal(read(block_reader, level), read(gdal, level))
        some = np.zeros(level.block_grid, bool)
        some[-1, -1] = True
        np.testing.assert_array_equal(read(block_reader, level, some), read(gdal, level, some))
    return block_reader


# ---- the same pixels as GDAL ---------------------------------------------------------------------

KINDS: dict[str, Callable[[Path], Path]] = {
    "uint16, predictor 2": lambda file: write(file, pixels()),
    "uint16, predictor 1": lambda file: write(file, pixels(), predictor=1),
    "uint16, uncompressed": lambda file: write(file, pixels(), layout=PLAIN),
    "uint8, predictor 2": lambda file: write(file, pixels(dtype="uint8")),
    "uint8, nodata 255": lambda file: write(file, pixels(dtype="uint8"), nodata=255),
    "blocks of 256": lambda file: write(file, pixels(601, 399), blockxsize=256, blockysize=256),
    "blocks of 512 in 256 rows": lambda file: write(file, pixels(601, 399), blockxsize=512, blockysize=256),
    "one block": lambda file: write(file, pixels(17, 5), overviews=False),
    "one pixel": lambda file: write(file, np.full((1, 1), 7, np.uint16), overviews=False),
    "nodata 0": lambda file: write(file, pixels(), nodata=0),
    "nodata 65535": lambda file: write(file, pixels(), nodata=65535),
    "int16, predictor 2": lambda file: write(file, pixels(dtype="int16"), nodata=-9999),
    "int16, predictor 1": lambda file: write(file, pixels(dtype="int16"), predictor=1),
    "int16, uncompressed": lambda file: write(file, pixels(dtype="int16"), layout=PLAIN, nodata=-32768),
    "int16, blocks of 256": lambda file: write(file, pixels(601, 399, "int16"), blockxsize=256, blockysize=256),
    "int16, cloud-optimized": lambda file: write_cog(file, pixels(601, 399, "int16"), nodata=-9999),
    "int16, sparse": lambda file: write_sparse(file, pixels(dtype="int16")),
    "int16, sparse, nodata -9999": lambda file: write_sparse(file, pixels(dtype="int16"), nodata=-9999),
    "sparse": lambda file: write_sparse(file, pixels()),
    "sparse, nodata 0": lambda file: write_sparse(file, pixels(), nodata=0),
    "sparse, nodata 65535": lambda file: write_sparse(file, pixels(), nodata=65535),
    "cloud-optimized": lambda file: write_cog(file, pixels(601, 399)),
    "BigTIFF": lambda file: write_cog(file, pixels(), bigtiff="yes"),
    "degrees": lambda file: write(file, pixels(), crs="EPSG:4326", transform=Affine(1e-4, 0, 14, 0, -1e-4, 45)),
    "pixels of 20 by 30 m": lambda file: write(file, pixels(), transform=Affine(20, 0, 5e5, 0, -30, 51e5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_both_readers_give_the_same_pixels_and_headers(kind: str, tmp_path: Path) -> None:
    agree(str(KINDS[kind](tmp_path / "red.tif")))


@pytest.mark.real
def test_both_readers_return_the_same_headers_of_real_files(shared_real: Path) -> None:
    files = sorted((shared_real / "scenes").rglob("*.tif"))
    assert files
    for file in files:
        assert Cog.open(str(file)).header == GdalRaster.open(str(file), "unsigned").header


def test_both_readers_give_the_same_pixels_over_http(tmp_path: Path, range_server: Serve) -> None:
    for number, make in enumerate(KINDS.values()):
        make(tmp_path / f"{number}.tif")
    server = range_server(tmp_path)
    for number in range(len(KINDS)):
        agree(f"{server.url}/{number}.tif")


@pytest.mark.parametrize(
    ("tag", "nodata"),
    [(b"-9999", None), (b"nan\0\0", None), (b"none\0", 0), (b"1e99\0", None), (b"\0\0\0\0\0", None)],
)
def test_an_unusable_nodata_tag_is_ignored(tmp_path: Path, tag: bytes, nodata: int | None) -> None:
    file = write(tmp_path / "red.tif", pixels(), overviews=False, nodata=12345)
    content = file.read_bytes()
    assert content.count(b"12345\0") == 1
    file.write_bytes(content.replace(b"12345", tag))
    assert agree(str(file)).header.nodata == nodata


@pytest.mark.parametrize("name", ["a b.tif", "a%20b.tif", "ä+[1]~#?.tif", "x/../red.tif", "x//red.tif"])
def test_files_with_unusual_names_are_read_from_disk_and_over_http(
    tmp_path: Path, range_server: Serve, name: str
) -> None:
    from ardcube.raster.open import open_raster

    values = pixels(20, 20)
    (tmp_path / "x").mkdir()
    write((tmp_path / name).resolve(), values, overviews=False)
    for href in (str(tmp_path) + "/" + name, f"{range_server(tmp_path).url}/{quote(name)}"):
        raster = open_raster(href, "", "unsigned")
        np.testing.assert_array_equal(read(raster, raster.header.levels[0]), values)


# ---- unsupported files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"compress": "lzw"}, "compression 5"),
        ({"compress": "zstd"}, "compression 50000"),
        ({"layout": STRIPED}, "no tiles"),
        ({"endianness": "BIG"}, "no little-endian TIFF"),
        ({"crs": "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"}, "no plain georeference"),
        ({"crs": None}, "no plain georeference"),
        ({"transform": ORIGIN @ Affine.rotation(10)}, "no plain georeference"),
        ({"transform": Affine(10, 0, 0, 0, 10, 0)}, "no plain georeference"),
    ],
)
def test_an_unsupported_file_raises_an_error_with_the_reason(
    tmp_path: Path, profile: dict[str, Any], message: str
) -> None:
    file = write(tmp_path / "red.tif", pixels(), overviews=False, **profile)
    with pytest.raises(UnsupportedFileError, match=message):
        Cog.open(str(file))


# ---- requests ------------------------------------------------------------------------------------


def test_opening_takes_one_request_and_adjacent_blocks_another(tmp_path: Path, range_server: Serve) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1100, 1100)).astype(np.uint16)
    file = write_cog(tmp_path / "red.tif", noise)
    server = range_server(tmp_path)
    raster = Cog.open(f"{server.url}/red.tif")
    (request,) = server.requests
    assert (request.method, request.path, request.range, request.sent) == ("GET", "red.tif", "bytes=0-32767", 32768)
    server.reset()
    level = raster.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[2:4, 2:4] = True
    np.testing.assert_array_equal(read(raster, level, needed), noise[256:512, 256:512])
    (request,) = server.requests
    assert request.sent < file.stat().st_size / 2


def test_each_request_for_a_signed_address_has_its_signature(tmp_path: Path, range_server: Serve) -> None:
    write_cog(tmp_path / "red band.tif", pixels())
    server = range_server(tmp_path)
    for signature in ("a%2Fb%2Bc%3D", "other"):
        server.reset()
        agree(f"{server.url}/red%20band.tif?se=2030-01-01T00%3A00%3A00Z&sig={signature}")
        assert {request.query["sig"] for request in server.requests} == {unquote(signature)}


def test_distant_blocks_take_a_request_each(tmp_path: Path, range_server: Serve) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1100, 1100)).astype(np.uint16)
    file = write_cog(tmp_path / "red.tif", noise)
    server = range_server(tmp_path)
    raster = Cog.open(f"{server.url}/red.tif")
    level = raster.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[0, 0] = needed[-1, -1] = True
    server.reset()
    band = raster.fetch(around(level, needed))
    assert len(server.requests) == 2
    assert band.size == sum(request.sent for request in server.requests) < file.stat().st_size / 10


def test_ranges_of_a_file_are_in_flight_at_the_same_time(tmp_path: Path, range_server: Serve) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1100, 1100)).astype(np.uint16)
    write_cog(tmp_path / "red.tif", noise)
    server = range_server(tmp_path)
    raster = Cog.open(f"{server.url}/red.tif")
    level = raster.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[0, 0] = needed[-1, -1] = True
    for requests, last in ((2, "delay"), (1, None)):
        server.reset()
        delay = server.fail(kind="delay", seconds=0.5)
        with counting() as usage:
            band = Threads(requests=requests).fetch(raster.fetch, around(level, needed)).result()
        assert delay.fired == 1
        assert server.requests[-1].fault == last  # requests are listed in the order of the responses
        assert (usage.requests, usage.received) == (2, band.size)
        np.testing.assert_array_equal(next(iter(band.decode())).digital_numbers()[:128, :128], noise[:128, :128])


def test_a_file_that_became_shorter_is_a_transient_error_whichever_of_its_ranges_it_lost(
    tmp_path: Path, range_server: Serve
) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1100, 1100)).astype(np.uint16)
    file = write_cog(tmp_path / "red.tif", noise)
    raster = Cog.open(f"{range_server(tmp_path).url}/red.tif")
    level = raster.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[0, 0] = needed[-1, -1] = True
    lost = int(raster.layout[0].offsets[-1, -1])
    for length in (lost + 10, lost, 100):
        file.write_bytes(file.read_bytes()[:length])
        with pytest.raises(ReplacedError, match="it was replaced by a shorter file"):
            Threads(requests=2).fetch(raster.fetch, around(level, needed)).result()


def test_a_header_longer_than_the_first_request_takes_a_second(
    tmp_path: Path, range_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cog(tmp_path / "red.tif", pixels(601, 399))
    server = range_server(tmp_path)
    expected = agree(str(tmp_path / "red.tif")).header
    for first in (4, 8, 9, 16, 100, 300, 1000):
        monkeypatch.setattr(complete, "_HEADER_BYTES", (first, 20_000))
        server.reset()
        assert Cog.open(f"{server.url}/red.tif").header == expected
        assert [request.range for request in server.requests] == [f"bytes=0-{first - 1}", "bytes=0-19999"]
    monkeypatch.setattr(complete, "_HEADER_BYTES", (100, 200))
    with pytest.raises(UnsupportedFileError, match="more than 200 bytes"):
        Cog.open(f"{server.url}/red.tif")


def test_a_header_with_thousands_of_blocks_is_read(tmp_path: Path) -> None:
    """Longer than the first request of a real file."""
    values = np.full((2048, 2048), 7, np.uint16)
    agree(str(write(tmp_path / "red.tif", values, overviews=False, blockxsize=16, blockysize=16)))


def test_a_file_that_is_no_tiff_takes_one_small_request(tmp_path: Path, range_server: Serve) -> None:
    (tmp_path / "red.jp2").write_bytes(b"\xff\x4f\xff\x51" + bytes(2_000_000))
    server = range_server(tmp_path)
    with pytest.raises(UnsupportedFileError):
        Cog.open(f"{server.url}/red.jp2")
    assert [request.sent for request in server.requests] == [32768]


@pytest.mark.parametrize(
    "href", ["gs://bucket/red.tif", "https://host/red.tif#part", "https://host/a%2Fred.tif", "red.tif"]
)
def test_an_unsupported_address_raises_an_error(href: str) -> None:
    with pytest.raises(UnsupportedFileError):
        Cog.open(href)


# ---- transient and permanent faults --------------------------------------------------------------


def test_a_damaged_block_raises_a_scene_error_and_other_blocks_are_read(tmp_path: Path) -> None:
    file = damage(write(tmp_path / "red.tif", pixels()), block=(1, 0))
    for raster in (Cog.open(str(file)), GdalRaster.open(str(file), "unsigned")):
        level = raster.header.levels[0]
        with pytest.raises(SceneError, match=r"red\.tif"):
            read(raster, level)
        needed = np.zeros(level.block_grid, bool)
        needed[0] = True
        np.testing.assert_array_equal(read(raster, level, needed), pixels()[:128])


@pytest.mark.parametrize("share", [0.9, 0.5, 0.02])
def test_a_file_truncated_after_its_header_was_read_is_a_transient_error(
    tmp_path: Path, range_server: Serve, share: float
) -> None:
    """The file may be being replaced. obstore panics if an answer ends before a range begins."""
    file = write_cog(tmp_path / "red.tif", pixels(601, 399))
    whole = file.read_bytes()
    server = range_server(tmp_path)
    for href in (str(file), f"{server.url}/red.tif"):
        raster = Cog.open(href)
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(TransientError, match=r"red\.tif"):
            read(raster, raster.header.levels[0])
        file.write_bytes(whole)
        np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels(601, 399))


@pytest.mark.parametrize("rule", [{"status": 503}, {"status": 429}, {"kind": "reset"}, {"kind": "truncate"}], ids=str)
def test_a_single_fault_is_retried(tmp_path: Path, range_server: Serve, rule: dict[str, Any]) -> None:
    write_cog(tmp_path / "red.tif", pixels())
    server = range_server(tmp_path)
    first = server.fail("red.tif", times=1, **rule)
    raster = Cog.open(f"{server.url}/red.tif")
    second = server.fail("red.tif", times=1, **rule)
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())
    assert (first.fired, second.fired) == (1, 1)


def test_a_permanent_fault_of_a_server_ends_in_a_transient_error(
    tmp_path: Path, range_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "RETRY", {"max_retries": 1, "retry_timeout": timedelta(seconds=5)})
    write_cog(tmp_path / "red.tif", pixels())
    server = range_server(tmp_path)
    raster = Cog.open(f"{server.url}/red.tif")
    fault = server.fail("red.tif", times=None, status=500)
    with pytest.raises(TransientError, match=r"red\.tif cannot be read: .*500"):
        read(raster, raster.header.levels[0])
    assert fault.fired == 2
    server.heal()
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())


# ---- damaged headers -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_cog(tmp_path_factory.mktemp("raster") / "red.tif", pixels(40, 40)).read_bytes()


def test_a_file_whose_header_points_beyond_its_end_is_truncated(tmp_path: Path, content: bytes) -> None:
    damaged = bytearray(content)
    struct.pack_into("<I", damaged, struct.unpack_from("<I", content, 4)[0] + 2 + 4, 0xFFFFFFFF)
    (tmp_path / "red.tif").write_bytes(damaged)
    with pytest.raises(SceneError, match=r"red.tif cannot be read: it is truncated, with \d+ of at least \d{10} bytes"):
        Cog.open(str(tmp_path / "red.tif"))


def test_block_offsets_beyond_any_file_size_are_beyond_the_file(tmp_path: Path) -> None:
    """An offset of 2^64 - 1 must not wrap around."""
    file = write_cog(tmp_path / "red.tif", pixels(601, 399), bigtiff="yes")
    content = bytearray(file.read_bytes())
    directories = read_directories(bytes(content))
    assert isinstance(directories, list)
    offsets = directories[0][Tag.TILE_OFFSETS].tobytes()
    content[content.index(offsets) : content.index(offsets) + 8] = b"\xff" * 8
    file.write_bytes(content)
    with pytest.raises(SceneError, match="truncated"):
        Cog.open(str(file))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_header_raises_only_errors_of_this_project(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("damaged") / "red.tif"
    file.write_bytes(damaged)
    try:
        raster = Cog.open(str(file))
        level = raster.header.levels[0]
        if level.height * level.width < 1e6:
            read(raster, level)
    except (UnsupportedFileError, SceneError, TransientError):
        pass
