"""Two runs on one cube: one works, the other is told so, and nothing is written by both."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import flows.build_cube
from ardcube.errors import InputError
from ardcube.extent.periods import Period
from ardcube.lease.acquire import LeaseHeldError, holding, standing_claim
from ardcube.lease.lease import Lease, LeaseLostError, Timing
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.progress import ProgressReceiver, reporting
from tests.flows import jobs
from tests.flows.jobs import options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, Remote
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = pytest.mark.usefixtures("prefect_server")

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
ONE_CHUNK = {"end_date": "2023-05-31", "chunk_size": 400, "bands": ("red",), "cloud_mask": "none"}


def ledger(uri: Path) -> Place:
    return Ledger.of_store(Place.at(str(uri))).place


def test_of_two_commands_at_once_one_is_refused_and_the_other_lets_go_when_it_is_terminated(
    sample_archive: Path, range_server: Callable[[Path], RangeServer], tmp_path: Path
) -> None:
    remote = Remote.of(sample_archive, range_server(sample_archive))
    uri = tmp_path / "cube.zarr"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1)
    slow = remote.files.fail("*_202306*", times=None, kind="delay", seconds=5)  # neither ends before the other began
    with ExitStack() as stack:
        logs = [tmp_path / "log-0", tmp_path / "log-1"]
        both = [jobs.start(["build", *options(cube, run)], log, EACH_READ_IS_A_REQUEST) for log in logs]
        for process in both:
            stack.callback(process.wait, 60)
            stack.callback(process.kill)
        until(lambda: any(process.poll() is not None for process in both), "one of them ends")
        (refused,) = [number for number, process in enumerate(both) if process.poll() is not None]
        winner = both[1 - refused]
        assert both[refused].returncode == 2, logs[refused].read_text()
        (line,) = [line for line in logs[refused].read_text().splitlines() if line.startswith("ardcube: ")]
        assert "another run writes this cube: " in line
        assert f"(process {winner.pid}, flow run " in line
        assert "wait until it ends, or add --break-lease" in line

        until(lambda: slow.fired, "the other is at work on June")
        assert standing_claim(ledger(uri)) is not None
        os.kill(winner.pid, signal.SIGTERM)
        assert winner.wait(60) != 0
    assert standing_claim(ledger(uri)) is None, "it was let go, not only left by a dead process"

    remote.files.heal()
    done = len(records(uri))
    summary = build_cube(cube, run)
    assert (summary.already_done, summary.failed) == (done, 0)
    assert [len(record.attempts) for record in records(uri).values()] == [1] * 6
    build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")


def test_a_run_that_is_refused_writes_nothing_and_a_dry_run_needs_no_lease(
    sample_archive: Path, tmp_path: Path
) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)
    with holding(ledger(uri), run="eager-otter") as lease:
        with pytest.raises(LeaseHeldError, match="flow run eager-otter"):
            build_cube(cube, run_config(uri))
        with pytest.raises(LeaseHeldError, match="flow run eager-otter"):
            build_cube(cube, run_config(uri, overwrite=True))
        assert build_cube(cube, run_config(uri, dry_run=True)).left == 1
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lease.json"]
        lease.check()
    assert build_cube(cube, run_config(uri)).written == 1
    assert standing_claim(ledger(uri)) is None


taken: list[Lease] = []


@contextmanager
def renewed_often(place: Place, **arguments: Any) -> Iterator[Lease]:
    """A lease whose loss is soon known. At the top of the module, since Prefect pickles what a flow's module names."""
    with holding(place, **arguments, timing=Timing(expires_seconds=120.0, renew_seconds=0.05)) as lease:
        taken.append(lease)
        yield lease


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> list[Lease]:
    """Leases of flows in this process, as they are taken; they are renewed often."""
    taken.clear()
    monkeypatch.setattr(flows.build_cube, "holding", renewed_often)
    return taken


def test_a_run_whose_lease_is_broken_stops_and_says_who_has_it(
    sample_archive: Path, tmp_path: Path, leases: list[Lease]
) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)

    with ExitStack() as stack:

        class Breaker(ProgressReceiver):
            def started(self, chunks: int, already_done: int) -> None:
                stack.enter_context(holding(ledger(uri), run="second", break_lease=True))
                assert leases[0].lost.wait(20)

        with reporting(Breaker()), pytest.raises(LeaseLostError, match="flow run second"):
            build_cube(cube, run_config(uri))
        assert "ledger.parquet" not in ledger(uri).list()
        claim = standing_claim(ledger(uri))
        assert claim is not None
        assert claim.run == "second", "the end of the first run took nothing from the second"
    assert build_cube(cube, run_config(uri)).failed == 0


def test_breaking_a_lease_is_an_option_of_a_run(sample_archive: Path, tmp_path: Path) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)
    with holding(ledger(uri)) as lease:
        assert build_cube(cube, run_config(uri, break_lease=True)).written == 1
        lease.renew()
        assert lease.lost.is_set()


@pytest.mark.parametrize("resampling", ["bilinear", "nearest"], ids=["same cube", "another cube"])
def test_what_another_run_did_while_this_one_searched_is_seen(
    sample_archive: Path, tmp_path: Path, resampling: str
) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)
    theirs = sample_cube(sample_archive, **ONE_CHUNK, resampling=resampling)

    class AnotherRun(ProgressReceiver):
        def searched(self, period: Period, scenes: int) -> None:
            with ThreadPoolExecutor(1) as pool:  # not a part of this flow
                assert pool.submit(build_cube, theirs, run_config(uri)).result().written == 1

    with reporting(AnotherRun()):
        if theirs == cube:
            assert build_cube(cube, run_config(uri)).already_done == 1
        else:
            with pytest.raises(InputError, match="holds another cube: resampling is 'nearest' there"):
                build_cube(cube, run_config(uri))
    build_cube(theirs, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")
