"""Stored headers: no request for a known header, and never a pixel of a file that was replaced."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.chunk.read import result_of
from ardcube.errors import ReplacedError, TransientError
from ardcube.extent.periods import Period
from ardcube.ledger.header_files import FOLDER, HeaderFiles
from ardcube.raster.decode import Encoding, SourcePixels
from ardcube.raster.header import Blocks
from ardcube.raster.known_headers import KNOWN_HEADERS
from ardcube.raster.open import _open, forget, open_raster
from ardcube.storage.place import Place
from tests.rasters import pixels, write_cog
from tests.servers.range_server import RangeServer

PERIOD = Period(0, date(2023, 6, 1), date(2023, 7, 1))


@pytest.fixture(autouse=True)
def _another_process() -> Iterator[None]:
    start_process()
    yield
    start_process()


def start_process() -> None:
    """Forget what this process knows of files, as another process does not know it."""
    _open.cache_clear()
    KNOWN_HEADERS.clear()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    folder = tmp_path / "files"
    folder.mkdir()
    for number, name in enumerate(("red", "nir")):
        write_cog(folder / f"{name}.tif", pixels(256, 256 - number), nodata=0)
    with RangeServer(folder) as running:
        yield running


def scene(server: RangeServer, **more: Any) -> Scene:
    bands = {name: BandAsset(f"{server.url}/{name}.tif?sig=a", 1e-4, 0.0, 0, 0, 0, 10.0) for name in ("red", "nir")}
    made = Scene(
        id="s", datetime=datetime(2023, 6, 1, tzinfo=UTC), footprint=shapely.box(11, 45, 12, 46), solar_hours=0,
        acquisition="", baseline=(5, 9), generated="", revision="r", bands=bands, granule="MGRS-33TTL",
    )  # fmt: skip
    return replace(made, **more)


def read(one: Scene, name: str = "red") -> NDArray[Any]:
    """Read all pixels of a band, as a chunk does."""
    raster = open_raster(one.bands[name].href, one.revision, "unsigned")
    level = raster.header.levels[0]
    blocks = Blocks(level, np.ones(level.block_grid, bool), 0, 0, *level.shape)
    return SourcePixels.decode([raster.fetch(blocks)], blocks, raster.header.dtype, Encoding(0)).values[..., 0]


def headers_requested(server: RangeServer) -> int:
    return sum((request.range or "").startswith("bytes=0-") for request in server.requests)


def test_another_process_requests_no_header(server: RangeServer, tmp_path: Path) -> None:
    one, ledger = scene(server), Place.at(str(tmp_path / "ledger"))
    HeaderFiles(ledger).load(PERIOD, [one])
    before = [read(one, name) for name in ("red", "nir")]
    assert headers_requested(server) == 2
    HeaderFiles(ledger).save(PERIOD, [one])
    assert ledger.list() == [f"{FOLDER}/2023-06-MGRS-33TTL.json.z"]
    start_process()
    server.reset()
    signed_again = scene(server, bands={
        name: replace(asset, href=asset.href.replace("sig=a", "sig=b")) for name, asset in one.bands.items()
    })  # fmt: skip
    HeaderFiles(ledger).load(PERIOD, [signed_again])
    for name, values in zip(("red", "nir"), before, strict=True):
        np.testing.assert_array_equal(read(signed_again, name), values)
    assert headers_requested(server) == 0
    assert {request.query["sig"] for request in server.requests} == {"b"}
    HeaderFiles(ledger).load(PERIOD, [scene(server, revision="newer")])
    read(scene(server, revision="newer"))
    assert headers_requested(server) == 1, "a newer revision may have another file"


@pytest.mark.parametrize("same_length", [False, True])
def test_a_replaced_file_gives_its_own_pixels(server: RangeServer, tmp_path: Path, same_length: bool) -> None:
    one, ledger = scene(server), Place.at(str(tmp_path / "ledger"))
    read(one)
    HeaderFiles(ledger).save(PERIOD, [one])
    file = server.folder / "red.tif"
    length, values = file.stat().st_size, pixels(256, 256)[::-1] // 3 + 1
    write_cog(file, values, nodata=0)
    if same_length:
        content = file.read_bytes()
        file.write_bytes(content[:length].ljust(length, b"\0") if len(content) < length else content)
    start_process()
    HeaderFiles(ledger).load(PERIOD, [one])
    with pytest.raises(TransientError, match="it was replaced"):
        read(one)
    forget(one.bands["red"].href)  # as after each failure
    np.testing.assert_array_equal(read(one), values)
    HeaderFiles(ledger).save(PERIOD, [one])
    start_process()
    HeaderFiles(ledger).load(PERIOD, [one])
    server.reset()
    read(one)


def test_one_attempt_finds_out_that_many_files_were_replaced(server: RangeServer, tmp_path: Path) -> None:
    one, ledger = scene(server), Place.at(str(tmp_path / "ledger"))
    others = [scene(server, id=f"s{number}", revision=f"r{number}") for number in range(3)]
    for other in (one, *others):
        read(other)
    HeaderFiles(ledger).save(PERIOD, [one, *others])
    values = pixels(256, 200)  # shorter, so that ranges begin behind its end
    write_cog(server.folder / "red.tif", values, nodata=0)
    start_process()
    HeaderFiles(ledger).load(PERIOD, [one, *others])
    with ThreadPoolExecutor(1) as pool, pytest.raises(ReplacedError, match="it was replaced"):
        result_of(one, pool.submit(read, one))
    for other in (one, *others):
        np.testing.assert_array_equal(read(other), values)


def test_a_copy_with_another_time_is_no_replaced_file(server: RangeServer, tmp_path: Path) -> None:
    one, ledger = scene(server), Place.at(str(tmp_path / "ledger"))
    before = read(one)
    HeaderFiles(ledger).save(PERIOD, [one])
    os.utime(server.folder / "red.tif", (1, 1))
    start_process()
    HeaderFiles(ledger).load(PERIOD, [one])
    np.testing.assert_array_equal(read(one), before)


@pytest.mark.parametrize("content", [b"", b"x", zlib.compress(b'{"format": 1, "files": 3}'), zlib.compress(b"[]")])
def test_damaged_files_count_as_none(content: bytes, server: RangeServer, tmp_path: Path) -> None:
    one, ledger = scene(server), Place.at(str(tmp_path / "ledger"))
    ledger.write(f"{FOLDER}/2023-06-MGRS-33TTL.json.z", content)
    HeaderFiles(ledger).load(PERIOD, [one])
    read(one)
    HeaderFiles(ledger).save(PERIOD, [one])
    start_process()
    server.reset()
    HeaderFiles(ledger).load(PERIOD, [one])
    read(one)
    assert headers_requested(server) == 0


def test_names_of_granules_do_not_leave_the_folder(server: RangeServer, tmp_path: Path) -> None:
    one, ledger = scene(server, granule="../../x"), Place.at(str(tmp_path / "ledger"))
    read(one)
    HeaderFiles(ledger).save(PERIOD, [one])
    assert [name.rsplit("/", 1)[0] for name in ledger.list()] == [FOLDER]


def test_headers_of_local_files_are_not_stored(tmp_path: Path) -> None:
    file, ledger = write_cog(tmp_path / "red.tif", pixels(), nodata=0), Place.at(str(tmp_path / "ledger"))
    one = Scene(
        id="s", datetime=datetime(2023, 6, 1, tzinfo=UTC), footprint=shapely.box(11, 45, 12, 46), solar_hours=0,
        acquisition="", baseline=(), generated="", revision="r",
        bands={"red": BandAsset(str(file), 1e-4, 0.0, 0, 0, 0, 10.0)},
    )  # fmt: skip
    read(one)
    HeaderFiles(ledger).save(PERIOD, [one])
    assert ledger.list() == []
