"""Files shorter than their headers say: one permanent error of both readers, before a block is requested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio

from ardcube.config import Reader
from ardcube.errors import SceneError
from ardcube.raster.open import open_raster
from tests.rasters import ORIGIN, STRIPED, pixels, write, write_cog
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
READERS: tuple[Reader, ...] = ("auto", "gdal")


def jpeg_2000(file: Path) -> Path:
    with rasterio.open(
        file, "w", driver="JP2OpenJPEG", count=1, dtype="uint16", height=301, width=255, crs="EPSG:32633",
        transform=ORIGIN, QUALITY=100, REVERSIBLE="YES",
    ) as target:  # fmt: skip
        target.write(pixels(), 1)
    return file


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
    "JPEG 2000": jpeg_2000,
    "JPEG 2000 of no stated length": lambda file: without_length(jpeg_2000(file)),
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
        for folder in (str(tmp_path), server.url):
            messages = set()
            for reader in READERS:
                server.reset()
                with pytest.raises(SceneError, match=f"truncated, with {size} of at least") as caught:
                    open_raster(f"{folder}/{file.name}", "", "unsigned", reader)
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
        server.reset()
        with pytest.raises(SceneError, match=f"{name} cannot be read: {problem}$"):
            open_raster(f"{server.url}/{name}", "", "unsigned", reader)
        assert len(server.requests) == 1
