"""A worker writes nothing for a run that has lost its cube, and reads the lease once in a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ardcube.chunk.open_cube import open_cube
from ardcube.errors import TransientError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import calendar_periods
from ardcube.extent.window import Window
from ardcube.lease import fence as module
from ardcube.lease.acquire import holding
from ardcube.lease.fence import NAME, Fence, LeaseLostError
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.planning.plan import CubeSpec
from ardcube.storage.place import Place
from ardcube.store import schema
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import S3
from tests.strategies import cube_spec

GRID = Grid.from_bounds((10.0, 46.0, 10.008, 46.004), 0.0005)
ALL = Window(0, GRID.height, 0, GRID.width)
RECORD = ChunkRecord(ChunkKey("2023-01", 0, 0), "written", "inputs", ())


@pytest.fixture(autouse=True)
def _no_wait_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that breaks a lease does not wait, because no worker has read it lately."""
    monkeypatch.setattr("ardcube.lease.acquire.FRESH_SECONDS", 0.0)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the last reading of a lease too old to count."""
    passed = [0.0]
    monkeypatch.setattr(module, "clock", lambda: passed[0])

    def pass_by() -> None:
        passed[0] += module.FRESH_SECONDS

    return pass_by


def create(place: Place, holder: str) -> CubeSpec:
    spec = cube_spec(GRID, place.uri, holder=holder, storage_options=dict(place.fs.storage_options))
    schema.create(place, spec, calendar_periods(date(2023, 1, 1), date(2023, 1, 1), 1), 16)
    return spec


def write(spec: CubeSpec, value: int) -> None:
    values = np.full((*ALL.shape, 1), value, np.uint16)
    open_cube(spec).store.write_chunk(0, ALL, values, values[..., 0])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != NAME}


@pytest.mark.parametrize("value", [7, 0], ids=["pixels", "only fill, which deletes"])
def test_after_the_lease_is_broken_no_pixels_records_or_table_are_written(
    tmp_path: Path, later: Callable[[], None], value: int
) -> None:
    place = Place.at(str(tmp_path / "cube.zarr"))
    ledger = Ledger.of_store(place)
    with holding(ledger.place) as first:
        spec = create(place, first.claim.holder)
        write(spec, 1)
        held = ledger.held_by(first.claim.holder)
        held.write(RECORD)
        with holding(ledger.place, break_lease=True):
            later()
            before = files(tmp_path)
            for writing in (
                lambda: write(spec, value),
                lambda: open_cube(spec).ledger.write(RECORD),
                lambda: held.write(RECORD),
                lambda: held.merge([RECORD]),
                held.compact,
            ):
                with pytest.raises(LeaseLostError, match="nothing more is written for this run"):
                    writing()
            assert files(tmp_path) == before
    with pytest.raises(LeaseLostError):
        write(spec, value)  # also if no run holds the lease
    write(cube_spec(GRID, place.uri), 3)  # work without a lease is not checked


def test_one_reading_of_the_lease_serves_all_threads_for_two_seconds(moto_s3: S3, later: Callable[[], None]) -> None:
    with FaultyProxy(moto_s3.endpoint_url) as proxy:
        options = {**moto_s3.storage_options, "endpoint_url": proxy.endpoint_url}
        place = Place.at(moto_s3.uri("cube.zarr"), options)
        ledger = Ledger.of_store(place).place
        with holding(ledger) as lease:
            spec = create(place, lease.claim.holder)
            write(spec, 1)

            def reads(work: Callable[[], object]) -> int:
                before = len(proxy.requests("GET", f"*/{NAME}"))
                work()
                return len(proxy.requests("GET", f"*/{NAME}")) - before

            later()
            assert reads(lambda: [write(spec, value) for value in (1, 2, 3)]) == 1
            assert reads(lambda: open_cube(spec).ledger.write(RECORD)) == 0
            later()
            assert reads(lambda: write(spec, 4)) == 1


def test_a_store_that_does_not_answer_is_a_transient_error(tmp_path: Path, later: Callable[[], None]) -> None:
    place = Place.at(str(tmp_path / "cube.zarr.ardcube"))
    with holding(place) as lease:
        fence = Fence(place, lease.claim.holder)
        fence.check()
        backup = tmp_path / "backup"
        Path(place.path).rename(backup)
        Path(place.path).write_text("a file where the folder was")
        fence.check()  # the last reading still counts
        later()
        with pytest.raises(TransientError):
            fence.check()
        Path(place.path).unlink()
        backup.rename(place.path)
        fence.check()
