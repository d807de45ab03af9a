"""A file that is replaced only where nobody else has changed it: on a disk, on S3, in memory, and elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from ardcube.storage import compare_and_swap as module
from ardcube.storage.compare_and_swap import exchange, read_fresh, retire
from ardcube.storage.place import Place
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3

NAME = "lease.json"


@pytest.fixture
def of_kind(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Place]:
    """A place on each kind of filesystem."""

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


@pytest.fixture(params=["disk", "S3", "memory", "elsewhere"])
def place(request: pytest.FixtureRequest, of_kind: Callable[[str], Place]) -> Place:
    return of_kind(request.param)


def test_a_file_is_made_only_where_there_is_none(place: Place) -> None:
    assert exchange(place, NAME, None, b"first")
    assert not exchange(place, NAME, None, b"second")
    assert read_fresh(place, NAME) == b"first"


def test_a_file_is_replaced_only_where_it_is_as_it_was_seen(place: Place) -> None:
    assert not exchange(place, NAME, b"never there", b"new")
    assert read_fresh(place, NAME) is None
    exchange(place, NAME, None, b"first")
    assert exchange(place, NAME, b"first", b"second")
    assert not exchange(place, NAME, b"first", b"third")
    assert read_fresh(place, NAME) == b"second"


def test_a_file_is_retired_only_where_it_is_as_it_was_seen(place: Place) -> None:
    exchange(place, NAME, None, b"mine")
    assert not retire(place, NAME, b"another's", b"last")
    assert read_fresh(place, NAME) == b"mine"
    assert retire(place, NAME, b"mine", b"last")
    assert read_fresh(place, NAME) == (None if place.is_local else b"last")
    assert not retire(place, NAME, b"mine", b"last")
    assert not Path(place.path).exists()


def test_a_folder_that_holds_something_else_stays(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path))
    place.write("notes.txt", b"mine")
    exchange(place, NAME, None, b"lease")
    assert retire(place, NAME, b"lease", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("kind", "rounds"), [("disk", 25), ("memory", 25), ("S3", 2)])
def test_no_update_is_lost_among_many_writers(of_kind: Callable[[str], Place], kind: str, rounds: int) -> None:
    place, writers = of_kind(kind), 8

    def count(writer: int) -> None:
        for turn in range(rounds):
            while True:
                old = read_fresh(place, NAME)
                number = int((old or b"0").split()[0]) + 1
                # As a lease does: no two writers ever write the same.
                if exchange(place, NAME, old, f"{number} {writer} {turn} {uuid.uuid4().hex}".encode()):
                    break

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(count, range(writers)))
    content = read_fresh(place, NAME)
    assert content is not None
    assert int(content.split()[0]) == writers * rounds


def test_a_process_that_keeps_the_lock_is_waited_for_and_then_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.at(str(tmp_path))
    with ThreadPoolExecutor(1) as pool, module._alone(tmp_path / NAME):
        waits = pool.submit(exchange, place, NAME, None, b"mine")
        with pytest.raises(TimeoutError):
            waits.result(0.5)
    assert waits.result(20)
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    with module._alone(tmp_path / NAME), pytest.raises(OSError, match=r"may be paused: let it go on.*lease\.json"):
        exchange(place, NAME, b"mine", b"mine, renewed")
    assert exchange(place, NAME, b"mine", b"mine, renewed")


def test_making_and_removing_at_once_leaves_one_owner_at_a_time_and_no_litter(tmp_path: Path) -> None:
    place, inside, most = Place.at(str(tmp_path / "ledger")), [], []

    def own(writer: int) -> None:
        for turn in range(20):
            content = f"{writer} {turn}".encode()
            while not exchange(place, NAME, None, content):
                pass
            inside.append(writer)
            most.append(len(inside))
            inside.remove(writer)
            assert retire(place, NAME, content, b"")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(own, range(6)))
    assert set(most) == {1}
    assert list(tmp_path.iterdir()) == []


def test_the_lock_file_of_a_writer_that_was_killed_stops_nobody(tmp_path: Path) -> None:
    place = Place.at(str(tmp_path))
    (tmp_path / f"{NAME}.lock.part").touch()
    assert exchange(place, NAME, None, b"mine")
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_listing_that_s3fs_remembers_hides_nothing(moto_s3: S3) -> None:
    mine = Place.at(moto_s3.uri("cube.zarr.ardcube"), {**moto_s3.storage_options, "skip_instance_cache": True})
    others = Place.at(moto_s3.uri("cube.zarr.ardcube"), {**moto_s3.storage_options, "skip_instance_cache": True})
    mine.write("cube.json", b"{}")
    assert mine.list() == ["cube.json"]
    mine.fs.ls(mine.path)
    others.write(NAME, b"lease")
    assert read_fresh(mine, NAME) == b"lease"


# ---- answers that are lost -----------------------------------------------------------------------


@pytest.fixture
def proxy(moto_s3: S3) -> Iterator[FaultyProxy]:
    with FaultyProxy(moto_s3.endpoint_url) as server:
        yield server


@pytest.fixture
def behind(moto_s3: S3, proxy: FaultyProxy) -> Place:
    options = {**moto_s3.storage_options, "endpoint_url": proxy.endpoint_url}
    return Place.at(moto_s3.uri("cube.zarr.ardcube"), options)


def test_a_put_whose_answer_was_lost_is_known_as_our_own(behind: Place, proxy: FaultyProxy) -> None:
    proxy.fail("lost")
    assert exchange(behind, NAME, None, b"mine")
    assert len(proxy.requests("PUT")) == 2, "it was tried again, and refused because of the first"
    proxy.fail("lost")
    assert exchange(behind, NAME, b"mine", b"mine, renewed")
    assert len(proxy.requests("PUT")) == 4
    assert read_fresh(behind, NAME) == b"mine, renewed"


def test_a_put_that_is_never_answered_is_given_up(
    behind: Place, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exchange(behind, NAME, None, b"mine")
    proxy.fail("hang", times=None)
    with monkeypatch.context() as impatient:
        impatient.setattr(module, "_PUT_SECONDS", 1.0)
        with pytest.raises(TimeoutError):
            exchange(behind, NAME, b"mine", b"mine, renewed")
    proxy.heal()
    assert exchange(behind, NAME, b"mine", b"mine, renewed")
