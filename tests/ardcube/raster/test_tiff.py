"""TIFF directories: their values, and damaged files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardcube.raster.tiff import Directory, Tag, end_of_blocks, is_little_endian, read_directories
from tests.rasters import pixels, write_cog

FORMS = {"classic": "no", "BigTIFF": "yes"}


def directories_of(content: bytes) -> list[Directory]:
    """Return the directories; none if the bytes do not hold all values."""
    found = read_directories(content)
    return [] if isinstance(found, int) else found


@pytest.fixture(scope="module", params=FORMS)
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a file of 601 x 399 pixels with overviews."""
    file = tmp_path_factory.mktemp("raster") / "red.tif"
    return write_cog(file, pixels(601, 399), bigtiff=FORMS[request.param]).read_bytes()


def test_each_level_has_a_directory_with_its_tags(content: bytes) -> None:
    directories = directories_of(content)
    sizes = [(int(each[Tag.HEIGHT][0]), int(each[Tag.WIDTH][0])) for each in directories]
    assert sizes[:2] == [(601, 399), (300, 199)]
    full = directories[0]
    assert (full[Tag.BITS].tolist(), full[Tag.PREDICTOR].tolist()) == ([16], [2])
    assert full[Tag.TIE_POINT].dtype == np.float64
    blocks = -(-601 // int(full[Tag.TILE_HEIGHT][0])) * -(-399 // int(full[Tag.TILE_WIDTH][0]))
    assert len(full[Tag.TILE_OFFSETS]) == len(full[Tag.TILE_SIZES]) == blocks > 1
    assert (full[Tag.TILE_OFFSETS] + full[Tag.TILE_SIZES]).max() <= len(content)
    assert len(content) - 8 <= end_of_blocks(directories) <= len(content)  # GDAL adds a trailer to each block


def test_directories_are_read_once_the_bytes_hold_all_values(content: bytes) -> None:
    """Fewer bytes give the number of bytes that are needed at least."""
    whole = directories_of(content)
    enough = [length for length in range(0, 4096, 8) if directories_of(content[:length])]
    assert 0 < enough[0] < 4096
    assert enough == list(range(enough[0], 4096, 8))
    for length in range(enough[0] - 7):
        needed = read_directories(content[:length])
        assert isinstance(needed, int)
        assert length < needed <= enough[0]
    for found, expected in zip(directories_of(content[: enough[0]]), whole, strict=True):
        assert {tag: values.tolist() for tag, values in found.items()} == {
            tag: values.tolist() for tag, values in expected.items()
        }


def test_a_tag_that_is_not_read_may_have_its_value_beyond_the_bytes(tmp_path: Path) -> None:
    """GDAL writes long metadata at the end of a file."""
    content = bytearray(write_cog(tmp_path / "red.tif", pixels(40, 40)).read_bytes())
    (offset,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, offset)
    unread = next(
        at for at in range(offset + 2, offset + 2 + 12 * count, 12) if struct.unpack_from("<H", content, at)[0] == 262
    )
    struct.pack_into("<HII", content, unread + 2, 2, 5000, 0xFFFFFFF0)
    assert directories_of(bytes(content))


def test_a_count_beyond_any_memory_gives_no_directories(tmp_path: Path) -> None:
    content = bytearray(write_cog(tmp_path / "red.tif", pixels(40, 40)).read_bytes())
    (offset,) = struct.unpack_from("<I", content, 4)
    assert directories_of(bytes(content))
    struct.pack_into("<I", content, offset + 2 + 4, 0xFFFFFFFF)  # of the first entry
    needed = read_directories(bytes(content))
    assert isinstance(needed, int)
    assert needed > 0xFFFFFFFF


def test_a_loop_of_directories_ends(tmp_path: Path) -> None:
    content = bytearray(write_cog(tmp_path / "red.tif", pixels(40, 40)).read_bytes())
    (offset,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, offset)
    struct.pack_into("<I", content, offset + 2 + 12 * count, offset)
    assert read_directories(bytes(content)) == 0


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from([b"II*\0", b"II+\0\x08\0\0\0"]), rest=st.binary(max_size=400), offset=st.integers(0, 60))
def test_arbitrary_bytes_raise_no_error_and_allocate_little(start: bytes, rest: bytes, offset: int) -> None:
    content = start + struct.pack("<Q" if b"+" in start else "<I", offset) + rest
    assert is_little_endian(content)
    for directory in directories_of(content):
        assert all(values.nbytes <= len(content) for values in directory.values())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_raises_no_error_and_allocates_little(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, 1500))] = data.draw(st.integers(0, 255))
    for directory in directories_of(bytes(damaged)):
        assert all(values.nbytes <= len(content) for values in directory.values())
