"""A folder on a disk or in memory: small files are read, replaced atomically, listed and removed."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from ardcube.errors import InputError
from ardcube.storage.place import Place, cube_name


@pytest.fixture(params=["local", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    name = uuid.uuid4().hex  # the memory filesystem is shared by the whole process
    uris = {
        "local": str(tmp_path / name),
        "file": (tmp_path / name).as_uri(),
        "memory": f"memory://{name}",
    }
    return Place.at(uris[request.param])


def test_a_file_survives_writing_and_reading(place: Place) -> None:
    assert place.read("a/b.json") is None
    place.write("a/b.json", b"first")
    place.write("a/b.json", b"second, longer")
    assert place.read("a/b.json") == b"second, longer"
    assert place.exists()
    assert place.exists("a/b.json")
    assert not place.exists("a/c.json")


def test_a_missing_folder_is_empty(place: Place) -> None:
    assert not place.exists()
    assert place.list() == []
    assert place.list("chunks") == []
    assert place.read_many(["a", "b"]) == {}
    place.remove([])


def test_files_are_listed_relative_to_the_folder_at_any_depth(place: Place) -> None:
    for name in ("cube.json", "chunks/2023-01/y0_x0.json", "chunks/2023-02/y0_x0.json", "items/a.parquet"):
        place.write(name, b"x")
    assert sorted(place.list()) == [
        "chunks/2023-01/y0_x0.json",
        "chunks/2023-02/y0_x0.json",
        "cube.json",
        "items/a.parquet",
    ]
    assert sorted(place.list("chunks")) == ["chunks/2023-01/y0_x0.json", "chunks/2023-02/y0_x0.json"]


def test_several_files_are_read_together_and_missing_ones_left_out(place: Place) -> None:
    place.write("a/1", b"one")
    place.write("a/2", b"two")
    assert place.read_many(["a/1", "a/3", "a/2"]) == {"a/1": b"one", "a/2": b"two"}
    assert place.read_many(["a/1"]) == {"a/1": b"one"}
    assert place.read_many([]) == {}


def test_only_named_files_are_removed_and_missing_ones_ignored(place: Place) -> None:
    for name in ("a", "b", "c/d"):
        place.write(name, b"x")
    place.remove(["a", "c/d", "missing"])
    assert place.list() == ["b"]


def test_only_empty_folders_are_removed(place: Place) -> None:
    place.write("full/file", b"x")
    place.write("empty/deep/file", b"x")
    place.remove(["empty/deep/file"])
    place.remove_empty_folders()
    assert place.list() == ["full/file"]
    if place.is_local:
        assert sorted(path.name for path in Path(place.path).iterdir()) == ["full"]


def test_a_sibling_is_another_folder_of_the_same_filesystem(place: Place) -> None:
    ledger = place.sibling(".ardcube")
    ledger.write("cube.json", b"{}")
    assert ledger.uri == place.uri + ".ardcube"
    assert Place.at(ledger.uri).read("cube.json") == b"{}"
    assert place.list() == []


@pytest.mark.parametrize("name", ["with space", "a[1]", "50%", "what?", "star*", "ümläut", "a#b"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    place = Place.at(str(tmp_path / name))
    place.write("chunks/a.json", b"x")
    assert place.exists("chunks/a.json")
    assert place.list("chunks") == ["chunks/a.json"]
    assert place.read("chunks/a.json") == b"x"
    assert place.read_many(["chunks/a.json"]) == {"chunks/a.json": b"x"}
    assert (tmp_path / name / "chunks" / "a.json").read_bytes() == b"x"


def test_a_slash_at_the_end_changes_nothing(tmp_path: Path) -> None:
    place = Place.at(f"{tmp_path}/cube.zarr/")
    assert place.sibling(".ardcube").path == f"{tmp_path}/cube.zarr.ardcube"
    assert place.sibling(".ardcube").uri == f"{tmp_path}/cube.zarr.ardcube"


# ---- atomic replacement --------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.at(str(tmp_path / "p"))
    place.write("a.json", b"old")

    def full_disk(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(OSError, match="No space left"):
            place.write("a.json", b"new and longer")
    assert place.read("a.json") == b"old"
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["a.json"]


def test_temporary_files_of_a_killed_writer_are_not_listed(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path / "p"))
    place.write("chunks/a.json", b"x")
    (tmp_path / "p" / "chunks" / "b.json.0123abcd.part").write_bytes(b"half")
    assert place.list() == ["chunks/a.json"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path / "p"))
    contents = [bytes([letter]) * 300_000 for letter in (65, 66)]
    place.write("a", contents[0])
    done = threading.Event()

    def keep_writing() -> None:
        for turn in range(60):
            place.write("a", contents[turn % 2])
        done.set()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(place.read("a"))
    writer.join()
    assert seen <= set(contents)


def test_of_several_writers_of_a_file_one_wins(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path / "p"))
    contents = [bytes([65 + i]) * 10_000 for i in range(8)]
    threads = [threading.Thread(target=place.write, args=("a", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.read("a") in contents
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["a"]


# ---- filesystems that cannot be used -------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "name"),
    [("s3://bucket/cubes/vancouver.zarr", "vancouver"), ("./out/alps.zarr/", "alps"), ("alps", "alps"), ("/", "/")],
)
def test_a_cube_is_named_after_the_last_part_of_its_uri(uri: str, name: str) -> None:
    assert cube_name(uri) == name


def test_a_driver_that_is_not_installed_is_named() -> None:
    with pytest.raises(InputError, match=r"fsspec-uri gs://bucket/cube needs a driver.*gcsfs") as caught:
        Place.at("gs://bucket/cube")
    assert "\n" not in str(caught.value)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match=r"fsspec-uri zyx://bucket/cube cannot be used.*zyx"):
        Place.at("zyx://bucket/cube")
