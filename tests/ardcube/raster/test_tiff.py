"""Directories of TIFFs: what a writer put there is read, and no damage costs more than an answer."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardcube.raster.tiff import Tag, is_little_endian, read_directories
from tests.rasters import pixels, write_cog

FORMS = {"classic": "no", "BigTIFF": "yes"}


@pytest.fixture(scope="module", params=FORMS)
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of 601 x 399 pixels with overviews."""
    file = tmp_path_factory.mktemp("raster") / "red.tif"
    return write_cog(file, pixels(601, 399), bigtiff=FORMS[request.param]).read_bytes()


def test_each_level_has_a_directory_with_its_tags(content: bytes) -> None:
    directories = read_directories(content)
    assert directories is not None
    sizes = [(int(each[Tag.HEIGHT][0]), int(each[Tag.WIDTH][0])) for each in directories]
    assert sizes[:2] == [(601, 399), (300, 199)]
    full = directories[0]
    assert (full[Tag.BITS].tolist(), full[Tag.PREDICTOR].tolist()) == ([16], [2])
    assert full[Tag.TIE_POINT].dtype == np.float64
    blocks = -(-601 // int(full[Tag.TILE_HEIGHT][0])) * -(-399 // int(full[Tag.TILE_WIDTH][0]))
    assert len(full[Tag.TILE_OFFSETS]) == len(full[Tag.TILE_SIZES]) == blocks > 1
    assert (full[Tag.TILE_OFFSETS] + full[Tag.TILE_SIZES]).max() <= len(content)


def test_the_first_bytes_are_enough_as_soon_as_they_hold_what_is_read(content: bytes) -> None:
    """And before that, nothing is made of them."""
    whole = read_directories(content)
    enough = [length for length in range(0, 4096, 8) if read_directories(content[:length]) is not None]
    assert 0 < enough[0] < 4096
    assert enough == list(range(enough[0], 4096, 8))
    for found, expected in zip(read_directories(content[: enough[0]]) or [], whole or [], strict=True):
        assert {tag: values.tolist() for tag, values in found.items()} == {
            tag: values.tolist() for tag, values in expected.items()
        }


def test_a_value_that_nobody_asks_for_may_lie_anywhere(tmp_path: Path) -> None:
    """Metadata of a page or two, which GDAL puts at the end of a file."""
    content = bytearray(write_cog(tmp_path / "red.tif", pixels(40, 40)).read_bytes())
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    unread = next(
        at for at in range(place + 2, place + 2 + 12 * count, 12) if struct.unpack_from("<H", content, at)[0] == 262
    )
    struct.pack_into("<HII", content, unread + 2, 2, 5000, 0xFFFFFFF0)
    assert read_directories(bytes(content))


def test_a_count_that_no_memory_could_hold_is_told(tmp_path: Path) -> None:
    content = bytearray(write_cog(tmp_path / "red.tif", pixels(40, 40)).read_bytes())
    (place,) = struct.unpack_from("<I", content, 4)
    assert read_directories(bytes(content))
    struct.pack_into("<I", content, place + 2 + 4, 0xFFFFFFFF)  # of the first entry
    assert read_directories(bytes(content)) is None


def test_directories_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    content = bytearray(write_cog(tmp_path / "red.tif", pixels(40, 40)).read_bytes())
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    struct.pack_into("<I", content, place + 2 + 12 * count, place)
    assert read_directories(bytes(content)) is None


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from([b"II*\0", b"II+\0\x08\0\0\0"]), rest=st.binary(max_size=400), place=st.integers(0, 60))
def test_no_bytes_make_it_fail(start: bytes, rest: bytes, place: int) -> None:
    content = start + struct.pack("<Q" if b"+" in start else "<I", place) + rest
    assert is_little_endian(content)
    for directory in read_directories(content) or []:
        assert all(values.nbytes <= len(content) for values in directory.values())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_makes_it_fail(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, 1500))] = data.draw(st.integers(0, 255))
    for directory in read_directories(bytes(damaged)) or []:
        assert all(values.nbytes <= len(content) for values in directory.values())
