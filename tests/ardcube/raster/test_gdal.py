"""Reading through GDAL: windows of levels, faults over HTTP, and GDAL's cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.env
from affine import Affine

from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.raster import gdal_open
from ardcube.raster.gdal import GdalRaster
from ardcube.raster.header import Blocks
from ardcube.raster.signing import SignedAddress
from tests.grids import degrees_lattice
from tests.rasters import ORIGIN, pixels, read, write
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
NAME = "T33TTM_20230404T040310_B03.tif"
"""Name of a scene of April 4, which contains the digits of an HTTP code."""


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("raster") / NAME, pixels())


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable GDAL's retries, which wait for seconds."""
    monkeypatch.setitem(gdal_open._HTTP_OPTIONS, "GDAL_HTTP_MAX_RETRY", 0)


# ---- windows of levels ---------------------------------------------------------------------------


def test_needed_blocks_of_every_level_have_the_stored_pixels(raster: Path) -> None:
    opened = GdalRaster.open(str(raster), "unsigned")
    for index, level in enumerate(opened.header.levels):
        with rasterio.open(raster, **({} if index == 0 else {"OVERVIEW_LEVEL": index - 1})) as source:
            expected = source.read(1)
        np.testing.assert_array_equal(read(opened, level), expected)
        needed = np.zeros(level.block_grid, bool)
        needed[-1, 0] = True
        top = (level.block_grid[0] - 1) * level.block[0]
        np.testing.assert_array_equal(read(opened, level, needed), expected[top:, : level.block[1]])


def test_overviews_too_coarse_for_a_cube_are_not_opened(raster: Path) -> None:
    opened = GdalRaster.open(str(raster), "unsigned", lattice=degrees_lattice(1 / 3600))  # about 26 m
    assert [level.index for level in opened.header.levels] == [0, 1]  # of 10 and 20 m; 40 and 80 m are left out
    level = opened.header.levels[1]
    with rasterio.open(raster, OVERVIEW_LEVEL=0) as source:
        np.testing.assert_array_equal(read(opened, level), source.read(1))


@pytest.mark.parametrize(
    ("profile", "dtype", "message"),
    [
        ({"crs": None}, np.uint16, "not a north-up raster"),
        ({"transform": ORIGIN @ Affine.rotation(10)}, np.uint16, "not a north-up raster"),
        ({"transform": Affine(10, 0, 0, 0, 10, 0)}, np.uint16, "not a north-up raster"),
        ({"predictor": 1}, np.float32, "holds float32, not uint8, uint16, int16"),
        ({}, np.int32, "holds int32, not uint8, uint16, int16"),
    ],
)
def test_an_unusable_raster_raises_a_scene_error(
    tmp_path: Path, profile: dict[str, Any], dtype: type, message: str
) -> None:
    file = write(tmp_path / "odd.tif", np.ones((64, 64), dtype), overviews=False, **profile)
    with pytest.raises(SceneError, match=message):
        GdalRaster.open(str(file), "unsigned")


# ---- over HTTP -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_try")
def test_a_truncated_answer_is_transient_and_not_cached(tmp_path: Path, range_server: Serve) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1100, 1100)).astype(np.uint16)
    write(tmp_path / NAME, noise, overviews=False)
    server = range_server(tmp_path)
    opened = GdalRaster.open(f"{server.url}/{NAME}", "unsigned")
    level = opened.header.levels[0]
    needed = np.zeros(level.block_grid, bool)
    needed[4:, 4:] = True
    cut = server.fail(NAME, kind="truncate", method="GET", times=None)
    with pytest.raises(TransientError, match=NAME):
        read(opened, level, needed)
    assert cut.fired > 0
    server.heal()
    np.testing.assert_array_equal(read(opened, level, needed), noise[512:, 512:])


@pytest.mark.parametrize(("side", "dtype"), [(32, np.uint16), (64, np.uint8)], ids=["smaller", "of another type"])
@pytest.mark.usefixtures("one_try")
def test_a_file_that_was_replaced_since_its_header_was_read_is_transient(
    tmp_path: Path, side: int, dtype: type
) -> None:
    file = write(tmp_path / NAME, np.ones((64, 64), np.uint16), overviews=False)
    raster = GdalRaster.open(str(file), "unsigned")
    level = raster.header.levels[0]
    file.unlink()
    write(file, np.ones((side, side), dtype), overviews=False)
    with pytest.raises(TransientError, match="another file"):
        raster.fetch(Blocks(level, np.ones(level.block_grid, bool), 0, 0, 64, 64))


@pytest.mark.parametrize("rule", [{"status": 503}, {"status": 404}, {"kind": "reset"}, {"kind": "truncate"}], ids=str)
@pytest.mark.usefixtures("one_try")
def test_a_second_attempt_after_a_single_fault_reads_the_pixels(
    raster: Path, range_server: Serve, rule: dict[str, Any]
) -> None:
    """GDAL caches failures, even a missing file. A retry must not use that cache."""
    server = range_server(raster.parent)
    server.fail(NAME, times=1, **rule)

    def attempt() -> np.ndarray:
        opened = GdalRaster.open(f"{server.url}/{NAME}", "unsigned")
        return read(opened, opened.header.levels[0])

    try:
        values = attempt()
    except (SceneError, TransientError):
        values = attempt()
    np.testing.assert_array_equal(values, pixels())


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AccessError), (403, AccessError), (404, SceneError), (410, SceneError), (500, TransientError)],
)
def test_http_codes_decide_whether_an_error_is_transient(
    raster: Path, range_server: Serve, monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")  # a variable of the user has precedence
    server = range_server(raster.parent)
    server.fail(NAME, times=None, status=status)
    with pytest.raises(error, match=f"{NAME} cannot be read: (.*{status}|it does not exist)"):
        GdalRaster.open(f"{server.url}/{NAME}", "unsigned")
    server.heal()
    assert GdalRaster.open(f"{server.url}/{NAME}", "unsigned").header.levels


def test_only_the_needed_bytes_are_fetched(range_server: Serve, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1024, 1024)).astype(np.uint16)
    file = write(tmp_path / "big.tif", noise, overviews=False)
    server = range_server(tmp_path)
    opened = GdalRaster.open(f"{server.url}/big.tif", "unsigned")
    needed = np.zeros(opened.header.levels[0].block_grid, bool)
    needed[0, 0] = True
    read(opened, opened.header.levels[0], needed)
    assert {request.path for request in server.requests} == {"big.tif"}  # no side-cars, no listings
    assert sum(request.sent for request in server.requests) < file.stat().st_size / 10
    # If GDAL aborted a GET to learn a file's size, each file would take a connection with its handshake.
    assert all(request.range for request in server.requests if request.method == "GET")


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("unsigned", {"AWS_NO_SIGN_REQUEST": "YES", "AWS_REQUEST_PAYER": None}),
        ("requester-pays", {"AWS_NO_SIGN_REQUEST": None, "AWS_REQUEST_PAYER": "requester"}),
        ("signed", {"AWS_NO_SIGN_REQUEST": None, "AWS_REQUEST_PAYER": None}),
    ],
)
def test_access_options_apply_to_one_file_in_one_thread(raster: Path, access: Any, expected: dict[str, Any]) -> None:
    def options() -> dict[str, Any]:
        here = rasterio.env.getenv() if rasterio.env.hasenv() else {}
        return {name: here.get(name) for name in expected}

    def normalized(values: dict[str, Any]) -> dict[str, Any]:
        return {name: "YES" if value is True else value for name, value in values.items()}

    elsewhere: list[dict[str, Any]] = []
    with gdal_open._open(str(raster), SignedAddress(str(raster)), access, gdal_open.WithoutGeoreference):
        inside = options()
        thread = threading.Thread(target=lambda: elsewhere.append(options()))
        thread.start()
        thread.join()
    assert normalized(inside) == expected
    assert elsewhere == [dict.fromkeys(expected)]
    assert options() == dict.fromkeys(expected)
