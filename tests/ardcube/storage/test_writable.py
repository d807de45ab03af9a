"""Folders that cannot be created or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ardcube.errors import InputError
from ardcube.storage.writable import can_write, make_folder


def test_a_folder_is_created_and_stays_empty(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b", "--output")
    make_folder(tmp_path / "a" / "b", "--output")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/folder"])
def test_a_file_in_the_way_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"^--output '{tmp_path}/{name}': cannot be written \(.+\); choose a folder"):
        make_folder(tmp_path / name, "--output")
    assert not can_write(tmp_path / name)


def test_a_filesystem_that_takes_no_folder_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^--output '/proc/none/folder': cannot be written"):  # for every user
        make_folder(Path("/proc/none/folder"), "--output")
    assert not can_write(Path("/proc/none/folder"))


def test_a_check_creates_nothing(tmp_path: Path) -> None:
    assert can_write(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
