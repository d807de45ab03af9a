"""Files shorter than their headers say: one permanent error of both readers, before a block is requested."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ardcube.config import Reader
from ardcube.errors import SceneError
from ardcube.raster.open import open_raster
from tests.rasters import STRIPED, pixels, write, write_cog, write_jpeg_2000
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
SIGNED = "?se=2030-01-01T00%3A00%3A00Z&sig=a%2Fb%2Bc%3D"
READERS: tuple[Reader, ...] = ("auto", "gdal")


def without_length(file: Path) -> Path:
    """Let the last box last to the file's end, as in the products of ESA."""
    content = bytearray(file.read_bytes())
    at = content.index(b"jp2c") - 4
    content[at : at + 4] = bytes(4)
    file.write_bytes(content)
    return file


FILES: dict[str, Callable[[Path], Path]] = {
    "cloud-optimized": lambda file: write_cog(file, pixels(601, 399)),
    "BigTIFF": lambda file: write_cog(file, pixels(601, 399), bigtiff="yes"),
    "overviews at the end": lambda file: write(file, pixels(601, 399)),
    "LZW": lambda file: write(file, pixels(601, 399), compress="lzw"),
    "striped": lambda file: write(file, pixels(601, 399), layout=STRIPED, overviews=False),
    "JPEG 2000": lambda file: write_jpeg_2000(file, pixels()),
    "JPEG 2000 of no stated length": lambda file: without_length(write_jpeg_2000(file, pixels())),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_found_by_its_length_with_one_request(
    kind: str, tmp_path: Path, range_server: Serve
) -> None:
    file = FILES[kind](tmp_path / ("red.jp2" if "JPEG" in kind else "red.tif"))
    whole = file.read_bytes()
    server = range_server(tmp_path)
    for share in (0.99, 0.5, 0.1):
        file.write_bytes(whole[: int(len(whole) * share)])
        size = file.stat().st_size
        for href in (str(file), f"{server.url}/{file.name}", f"{server.url}/{file.name}{SIGNED}"):
            messages = set()
            for reader in READERS:
                server.reset()
                with pytest.raises(SceneError, match=f"truncated, with {size} of at least") as caught:
                    open_raster(href, "", "unsigned", reader)
                messages.add(str(caught.value))
                assert len(server.requests) <= 2  # two for a long header, or the end of JPEG 2000
            assert len(messages) == 1
    file.write_bytes(whole)
    for reader in READERS:
        assert open_raster(str(file), "", "unsigned", reader).header.levels


def test_a_trailer_or_bytes_after_the_blocks_may_be_missing_or_extra(tmp_path: Path) -> None:
    file = write_cog(tmp_path / "red.tif", pixels(601, 399))
    whole = file.read_bytes()
    for content in (whole[:-4], whole + bytes(100)):  # GDAL repeats the last four bytes of each block
        file.write_bytes(content)
        for reader in READERS:
            assert open_raster(str(file), "", "unsigned", reader).header.levels


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_and_an_empty_file_take_one_request(tmp_path: Path, range_server: Serve, reader: Reader) -> None:
    (tmp_path / "empty.tif").touch()
    server = range_server(tmp_path)
    for name, problem in (("empty.tif", "it is empty"), ("nothing.tif", "it does not exist")):
        for address in (f"{server.url}/{name}", f"{server.url}/{name}{SIGNED}"):
            server.reset()
            with pytest.raises(SceneError) as caught:
                open_raster(address, "", "unsigned", reader)
            assert str(caught.value) == f"{address} cannot be read: {problem}"
            assert len(server.requests) == 1


@pytest.mark.parametrize("reader", READERS)
def test_a_path_that_is_no_file_is_refused_at_once(tmp_path: Path, reader: Reader) -> None:
    """Reading a pipe would wait for its other end."""
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "folder.tif").mkdir()
    for name in ("pipe.tif", "folder.tif"):
        with pytest.raises(SceneError, match=f"{name} cannot be read: it is no file$"):
            open_raster(str(tmp_path / name), "", "unsigned", reader)
