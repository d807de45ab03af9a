"""Two runs on one cube: the second is refused, and a run that has lost the cube writes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ardcube.errors import InputError
from ardcube.extent.periods import Period
from ardcube.lease import fence
from ardcube.lease.acquire import LeaseHeldError, holding
from ardcube.lease.fence import LeaseLostError
from ardcube.ledger.ledger import Ledger
from ardcube.storage.place import Place
from flows.build_cube import build_cube
from flows.progress import ProgressReceiver, reporting
from tests.flows import jobs
from tests.flows.jobs import options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, Remote
from tests.leases import current_claim
from tests.servers.range_server import RangeServer
from tests.wait_for import until

pytestmark = pytest.mark.usefixtures("prefect_server")

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
ONE_CHUNK = {"end_date": "2023-05-31", "chunk_size": 400, "bands": ("red",), "cloud_mask": "none"}


def ledger(uri: Path) -> Place:
    return Ledger.of_store(Place.at(str(uri))).place


def test_of_two_commands_at_once_one_is_refused_and_the_other_releases_the_lease_when_terminated(
    sample_archive: Path, range_server: Callable[[Path], RangeServer], tmp_path: Path
) -> None:
    remote = Remote.of(sample_archive, range_server(sample_archive))
    uri = tmp_path / "cube.zarr"
    cube = sample_cube(remote.write(tmp_path / "catalogue"), **SIX_CHUNKS)
    run = run_config(uri, threads=1, batch_size=1)
    slow = remote.files.fail("*_202306*", times=None, kind="delay", seconds=5)  # neither ends before the other begins
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

        until(lambda: slow.fired, "the other builds June")
        assert current_claim(ledger(uri)) is not None
        os.kill(winner.pid, signal.SIGTERM)
        assert winner.wait(60) != 0
    assert current_claim(ledger(uri)) is None, "the lease was released, not only left by a dead process"

    remote.files.heal()
    done = len(records(uri))
    summary = build_cube(cube, run)
    assert (summary.already_done, summary.failed) == (done, 0)
    assert [len(record.attempts) for record in records(uri).values()] == [1] * 6
    build_cube(cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")


def test_a_refused_run_writes_nothing_and_a_dry_run_needs_no_lease(sample_archive: Path, tmp_path: Path) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)
    with holding(ledger(uri), run="eager-otter") as lease:
        with pytest.raises(LeaseHeldError, match="flow run eager-otter"):
            build_cube(cube, run_config(uri))
        with pytest.raises(LeaseHeldError, match="flow run eager-otter"):
            build_cube(cube, run_config(uri, overwrite=True))
        assert build_cube(cube, run_config(uri, dry_run=True)).left == 1
        assert ledger(uri).list() == ["lease.json"]
        assert not uri.exists()
        lease.check()
    assert build_cube(cube, run_config(uri)).written == 1
    assert current_claim(ledger(uri)) is None


def test_a_run_whose_lease_is_broken_stops_and_names_the_run_that_has_it(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "FRESH_SECONDS", 0.0)
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)

    with ExitStack() as stack:

        class Breaker(ProgressReceiver):
            def started(self, chunks: int, already_done: int) -> None:
                stack.enter_context(holding(ledger(uri), run="second", break_lease=True))

        with reporting(Breaker()), pytest.raises(LeaseLostError, match="flow run second"):
            build_cube(cube, run_config(uri))
        assert records(uri) == {}
        assert "ledger.parquet" not in ledger(uri).list()
        claim = current_claim(ledger(uri))
        assert claim is not None
        assert claim.run == "second", "the end of the first run took nothing from the second"
    assert build_cube(cube, run_config(uri)).failed == 0


def test_breaking_a_lease_is_an_option_of_a_run(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "FRESH_SECONDS", 0.0)
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)
    with holding(ledger(uri)) as lease:
        assert build_cube(cube, run_config(uri, break_lease=True)).written == 1
        with pytest.raises(LeaseLostError):
            lease.check()


@pytest.mark.parametrize("resampling", ["bilinear", "nearest"], ids=["same cube", "another cube"])
def test_a_run_sees_the_chunks_that_another_run_built_while_it_searched(
    sample_archive: Path, tmp_path: Path, resampling: str
) -> None:
    uri, cube = tmp_path / "cube.zarr", sample_cube(sample_archive, **ONE_CHUNK)
    other_cube = sample_cube(sample_archive, **ONE_CHUNK, resampling=resampling)

    class AnotherRun(ProgressReceiver):
        def searched(self, period: Period, scenes: int) -> None:
            with ThreadPoolExecutor(1) as pool:  # not a part of this flow
                assert pool.submit(build_cube, other_cube, run_config(uri)).result().written == 1

    with reporting(AnotherRun()):
        if other_cube == cube:
            assert build_cube(cube, run_config(uri)).already_done == 1
        else:
            with pytest.raises(InputError, match="holds another cube: resampling is 'nearest' there"):
                build_cube(cube, run_config(uri))
    build_cube(other_cube, run_config(tmp_path / "undisturbed.zarr"))
    assert pixels(uri) == pixels(tmp_path / "undisturbed.zarr")
