"""A file is replaced only if no other process has changed it: on a disk, on S3, in memory and elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from ardcube.errors import TransientError
from ardcube.storage import compare_and_swap as module
from ardcube.storage.compare_and_swap import Version, best_effort_reason, read_version, swap
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3

NAME = "lease.json"
MISSING = Version(None)
MORE_THAN_100_MIB = 101 * 2**20


@pytest.fixture
def place_on(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Place]:
    """A folder on each kind of filesystem."""

    def make(kind: str) -> Place:
        if kind == "disk":
            return Place.at(str(tmp_path / "cube.zarr.ardcube"))
        if kind == "S3":
            s3: S3 = request.getfixturevalue("moto_s3")
            return Place.at(s3.uri("cube.zarr.ardcube"), s3.storage_options)
        name = uuid.uuid4().hex
        if kind == "memory":
            return Place.at(f"memory://{name}")
        monkeypatch.setattr(module, "_SETTLE_SECONDS", 0.01)
        return Place(f"dir://{name}", DirFileSystem(path=f"/{name}", fs=MemoryFileSystem()), "cube.zarr.ardcube")

    return make


@pytest.fixture(params=["disk", "S3", "memory", "other"])
def place(request: pytest.FixtureRequest, place_on: Callable[[str], Place]) -> Place:
    return place_on(request.param)


def test_a_file_is_created_only_if_it_is_missing(place: Place) -> None:
    assert swap(place, NAME, MISSING, b"first")
    assert swap(place, NAME, MISSING, b"second") is None
    assert read_version(place, NAME).content == b"first"


def test_a_file_is_replaced_only_if_it_is_unchanged(place: Place) -> None:
    first = swap(place, NAME, MISSING, b"first")
    assert first
    second = swap(place, NAME, first, b"second")
    assert second
    assert swap(place, NAME, first, b"third") is None
    assert read_version(place, NAME) == second
    place.remove([NAME])
    assert swap(place, NAME, second, b"third") is None
    assert read_version(place, NAME) == MISSING


@pytest.mark.parametrize(("kind", "rounds"), [("disk", 25), ("memory", 25), ("S3", 2)])
def test_no_update_is_lost_among_8_writers(place_on: Callable[[str], Place], kind: str, rounds: int) -> None:
    place, writers = place_on(kind), 8

    def count(writer: int) -> None:
        for turn in range(rounds):
            while True:
                old = read_version(place, NAME)
                number = int((old.content or b"0").split()[0]) + 1
                if swap(place, NAME, old, f"{number} {writer} {turn} {uuid.uuid4().hex}".encode()):
                    break

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(count, range(writers)))
    content = read_version(place, NAME).content
    assert content is not None
    assert int(content.split()[0]) == writers * rounds
    assert place.list() == [NAME]


def test_a_lock_that_another_process_keeps_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.at(str(tmp_path))
    with ThreadPoolExecutor(1) as pool, FileLock(tmp_path / f"{NAME}.lock.part"):
        waits = pool.submit(swap, place, NAME, MISSING, b"mine")
        with pytest.raises(TimeoutError):
            waits.result(0.5)
    assert waits.result(20)
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    with FileLock(tmp_path / f"{NAME}.lock.part"), ThreadPoolExecutor(1) as pool:
        waits = pool.submit(swap, place, NAME, MISSING, b"mine")
        with pytest.raises(TransientError, match=r"lease\.json\.lock\.part"), explained(place.uri):
            waits.result(20)


def test_the_lock_file_of_a_killed_writer_stops_nobody(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path))
    (tmp_path / f"{NAME}.lock.part").touch()
    assert swap(place, NAME, MISSING, b"mine")
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_listing_that_s3fs_keeps_hides_no_file(moto_s3: S3) -> None:
    mine = Place.at(moto_s3.uri("cube.zarr.ardcube"), {**moto_s3.storage_options, "skip_instance_cache": True})
    others = Place.at(moto_s3.uri("cube.zarr.ardcube"), {**moto_s3.storage_options, "skip_instance_cache": True})
    mine.write("cube.json", b"{}")
    assert mine.list() == ["cube.json"]
    mine.fs.ls(mine.path)
    others.write(NAME, b"lease")
    assert mine.read_now(NAME) == b"lease"


def test_the_condition_also_holds_for_files_of_more_than_100_mib(place_on: Callable[[str], Place]) -> None:
    place = place_on("S3")
    first = swap(place, "ledger.parquet", MISSING, b"a table")
    assert first
    place.write("ledger.parquet", b"the table of another run")
    assert swap(place, "ledger.parquet", first, bytes(MORE_THAN_100_MIB)) is None
    assert swap(place, "ledger.parquet", MISSING, bytes(MORE_THAN_100_MIB)) is None
    assert place.read("ledger.parquet") == b"the table of another run"
    assert swap(place, "ledger.parquet", read_version(place, "ledger.parquet"), bytes(MORE_THAN_100_MIB))
    assert place.fs.size(place.file("ledger.parquet")) == MORE_THAN_100_MIB


# ---- answers that are lost, conditions that are ignored ------------------------------------------


@pytest.fixture
def proxy(moto_s3: S3) -> Iterator[FaultyProxy]:
    with FaultyProxy(moto_s3.endpoint_url) as server:
        yield server


@pytest.fixture
def behind(moto_s3: S3, proxy: FaultyProxy) -> Place:
    options = {**moto_s3.storage_options, "endpoint_url": proxy.endpoint_url}
    return Place.at(moto_s3.uri("cube.zarr.ardcube"), options)


def test_a_put_whose_answer_was_lost_is_recognized(behind: Place, proxy: FaultyProxy) -> None:
    lost = proxy.fail("lost")
    first = swap(behind, NAME, MISSING, b"mine")
    assert first
    assert lost.fired == 1
    lost = proxy.fail("lost")
    assert swap(behind, NAME, first, b"mine, renewed")
    assert lost.fired == 1
    assert read_version(behind, NAME).content == b"mine, renewed"


def test_a_put_that_is_never_answered_ends(behind: Place, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = swap(behind, NAME, MISSING, b"mine")
    assert first
    proxy.fail("hang", times=None)
    with monkeypatch.context() as impatient:
        impatient.setattr(module, "_PUT_SECONDS", 1.0)
        with pytest.raises(TransientError), explained(behind.uri):
            swap(behind, NAME, first, b"mine, renewed")
    proxy.heal()
    assert swap(behind, NAME, first, b"mine, renewed")


def test_a_store_that_ignores_conditions_is_recognized_by_its_first_put(
    behind: Place, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 0.5)
    proxy.drops_conditions = True
    assert best_effort_reason(behind) == ""
    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(lambda rival: swap(behind, NAME, MISSING, f"rival {rival}".encode()), range(8)))
    assert best_effort_reason(behind) == "it ignores the condition of a PUT"
    (winner,) = filter(None, wins)
    assert read_version(behind, NAME).content == winner.content
    assert swap(behind, NAME, MISSING, b"late") is None
    assert swap(behind, NAME, Version(winner.content), b"renewed")
