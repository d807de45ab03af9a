"""One run at a time per cube: taken, renewed, refused, taken over, broken, and let go, by real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ardcube.errors import InputError, StoreError
from ardcube.lease.acquire import LeaseHeldError, holding, release, standing_claim
from ardcube.lease.claim import Claim
from ardcube.lease.fence import Fence
from ardcube.lease.lease import NAME, LeaseLostError, Timing
from ardcube.storage.place import Place
from tests.servers.processes import ROOT, S3, environment
from tests.wait_for import until

QUICK = Timing(expires_seconds=1.0, renew_seconds=0.25)  # far longer than a slow store takes to be asked four times
NEVER_RENEWED = Timing(expires_seconds=0.3, renew_seconds=3600.0)

HOLDER = """
import json, sys, threading
from ardcube.lease.acquire import LeaseHeldError, holding
from ardcube.storage.place import Place

def say(*words):
    sys.stdout.write(" ".join(words) + "\\n")
    sys.stdout.flush()

def hold():
    try:
        with holding(Place.at(uri, options), run="eager-otter", run_id="id-of-the-run"):
            say("held")
            over.wait()
    except LeaseHeldError as error:
        say("refused", str(error))

uri, options, threads = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
over = threading.Event()
say("ready")
sys.stdin.readline()
rivals = [threading.Thread(target=hold) for _ in range(threads)]
for rival in rivals:
    rival.start()
sys.stdin.readline()
over.set()
"""
"""Holds a lease, or tries to, between two lines of input."""


@pytest.fixture(autouse=True)
def _no_worker_has_looked_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here are none, so that nobody waits for them."""
    monkeypatch.setattr("ardcube.lease.acquire.FRESH_SECONDS", 0.0)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that hold, or want, a lease; each has said that it is ready."""
    with ExitStack() as stack:

        def begin(uri: str, options: Mapping[str, Any] | None = None, threads: int = 1) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", HOLDER, uri, json.dumps(dict(options or {})), str(threads)]
            process = stack.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
                )
            )
            stack.callback(process.kill)
            return process

        yield begin


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(params=["disk", "S3"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place.at(str(tmp_path / "cube.zarr.ardcube"))
    s3: S3 = request.getfixturevalue("moto_s3")
    return Place.at(s3.uri("cube.zarr.ardcube"), s3.storage_options)


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path / "cube.zarr.ardcube"))


def left_by(ledger: Place, *, seconds_ago: float, **changes: Any) -> Claim:
    """Write the lease of a holder on another machine; it was last renewed so long ago."""
    then = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    far = {"who": "anna@far", "machine": "another boot", "started": then, "renewed": then, "expires_seconds": 0.5}
    claim = replace(Claim.of_this_process("eager-otter", "id-of-the-run", 120.0), **{**far, **changes})
    ledger.write(NAME, claim.to_json())
    return claim


# ---- held ----------------------------------------------------------------------------------------


def test_a_second_run_is_refused_in_one_line_that_names_the_holder_and_says_what_to_do(ledger: Place) -> None:
    with holding(ledger, run="eager-otter") as first, pytest.raises(LeaseHeldError) as caught, holding(ledger):
        raise AssertionError
    line = str(caught.value)
    assert line.startswith(f"another run writes this cube: {first.claim.who}")
    assert f"(process {first.claim.pid}, flow run eager-otter) since 20" in line
    assert line.endswith(
        f"UTC holds {ledger.uri}/lease.json; wait until it ends, or add --break-lease if that run is known to be dead"
    )
    assert "\n" not in line
    assert isinstance(caught.value, InputError), "exit code 2"


def test_when_a_run_has_ended_the_next_one_begins(ledger: Place) -> None:
    for _ in range(2):
        with holding(ledger) as lease:
            assert standing_claim(ledger) is not None
            lease.check()
        assert standing_claim(ledger) is None


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_however_a_run_ends_it_lets_go(on_disk: Place, ending: type[BaseException]) -> None:
    with pytest.raises(ending), holding(on_disk):
        raise ending
    assert standing_claim(on_disk) is None


def test_on_a_disk_nothing_is_left_of_a_run_that_wrote_nothing(on_disk: Place, tmp_path: Path) -> None:
    with holding(on_disk):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_the_ledger_stays(on_disk: Place) -> None:
    on_disk.write("cube.json", b"{}")
    with holding(on_disk):
        pass
    assert on_disk.list() == ["cube.json"]


@pytest.mark.parametrize("kind", ["disk", "S3"])
def test_of_sixteen_rivals_in_two_processes_one_wins_and_all_others_are_told_its_name(
    start: Start, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uri, options = str(tmp_path / "cube.zarr.ardcube"), None
    if kind == "S3":
        s3: S3 = request.getfixturevalue("moto_s3")
        uri, options = s3.uri("cube.zarr.ardcube"), s3.storage_options
    rivals = [start(uri, options, threads=8) for _ in range(2)]
    assert [says(rival) for rival in rivals] == ["ready"] * 2
    for rival in rivals:
        tell(rival)
    heard = [(rival.pid, says(rival)) for rival in rivals for _ in range(8)]
    (winner,) = [pid for pid, words in heard if words == "held"]
    refused = [words for _, words in heard if words != "held"]
    assert len(refused) == 15
    assert all(f"(process {winner}, flow run eager-otter)" in words for words in refused)
    for rival in rivals:
        tell(rival)
        assert rival.wait(20) == 0
    assert standing_claim(Place.at(uri, options)) is None


# ---- renewed -------------------------------------------------------------------------------------


def test_a_lease_is_renewed_while_its_run_is_at_work_and_outlives_its_first_term(ledger: Place) -> None:
    with holding(ledger, timing=QUICK) as lease:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 1.5 * QUICK.expires_seconds, "the first term ends")
        standing = standing_claim(ledger)
        assert standing is not None
        assert standing.holder == lease.claim.holder
        assert standing.renewed > lease.claim.renewed
        lease.check()
        with pytest.raises(LeaseHeldError), holding(ledger):
            raise AssertionError


def test_a_store_that_is_away_for_a_while_costs_no_lease(on_disk: Place, tmp_path: Path) -> None:
    told: list[str] = []
    ledger, aside = tmp_path / "cube.zarr.ardcube", tmp_path / "aside"
    with holding(on_disk, timing=replace(QUICK, expires_seconds=30.0), tell=told.append) as lease:
        with lease._one_renewal:  # not in the middle of one
            ledger.rename(aside)
            ledger.write_text("in the way")
        until(lambda: told, "a renewal fails")
        with lease._one_renewal:
            ledger.unlink()
            aside.rename(ledger)
        before = standing_claim(on_disk)
        until(lambda: standing_claim(on_disk) != before, "a renewal succeeds")
        lease.check()
    assert "could not be renewed" in told[0]
    assert "trying again" in told[0]


def test_a_run_that_could_not_renew_for_too_long_stops_unless_the_lease_is_still_its_own(
    on_disk: Place, tmp_path: Path
) -> None:
    with holding(on_disk, timing=NEVER_RENEWED) as lease:
        overdue = time.monotonic() + NEVER_RENEWED.expires_seconds
        until(lambda: time.monotonic() > overdue, "the lease expires")
        lease.check()  # nobody took it: it is renewed here and now
        standing = standing_claim(on_disk)
        assert standing is not None
        assert standing.renewed > lease.claim.renewed

        overdue = time.monotonic() + NEVER_RENEWED.expires_seconds
        until(lambda: time.monotonic() > overdue, "the lease expires")
        ledger, aside = tmp_path / "cube.zarr.ardcube", tmp_path / "aside"
        ledger.rename(aside)
        ledger.write_text("in the way")
        with pytest.raises(LeaseLostError, match=r"could not be renewed for 0\.3 s .* another run may hold it by now"):
            lease.check()
        ledger.unlink()
        aside.rename(ledger)


# ---- taken over ----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process started")
def test_a_holder_that_was_killed_is_followed_at_once_on_its_own_machine(start: Start, on_disk: Place) -> None:
    process = start(on_disk.uri)
    assert says(process) == "ready"
    tell(process)
    assert says(process) == "held"
    with pytest.raises(LeaseHeldError, match=f"process {process.pid}"), holding(on_disk):
        raise AssertionError
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    told: list[str] = []
    with holding(on_disk, tell=told.append) as lease:
        lease.check()
    assert len(told) == 1
    assert "took over the lease of" in told[0]
    assert f"(process {process.pid}, flow run eager-otter)" in told[0]


def test_a_dead_holder_on_another_machine_is_followed_when_its_lease_was_watched_to_expire(ledger: Place) -> None:
    left_by(ledger, seconds_ago=60)
    told: list[str] = []
    with holding(ledger, tell=told.append) as lease:
        lease.check()
    assert [line.split(" the lease of anna@far")[0] for line in told] == ["watching", "took over"]


def test_one_that_expired_long_ago_is_followed_at_once(ledger: Place) -> None:
    left_by(ledger, seconds_ago=3600)
    told: list[str] = []
    with holding(ledger, tell=told.append):
        pass
    assert [line.split(" the lease of anna@far")[0] for line in told] == ["took over"]


def test_one_on_another_machine_that_was_renewed_lately_is_believed(ledger: Place) -> None:
    left_by(ledger, seconds_ago=60, expires_seconds=120.0)
    with pytest.raises(LeaseHeldError, match="anna@far"), holding(ledger):
        raise AssertionError


@pytest.mark.parametrize("seconds_ago", [60, -1000], ids=["clock behind", "clock ahead"])
def test_a_living_holder_whose_clock_is_wrong_is_seen_to_renew(on_disk: Place, seconds_ago: float) -> None:
    claim = left_by(on_disk, seconds_ago=seconds_ago, expires_seconds=5.0)
    told: list[str] = []

    def renew_once(line: str) -> None:
        told.append(line)
        moved = datetime.fromisoformat(claim.renewed) + timedelta(seconds=1)
        on_disk.write(NAME, replace(claim, renewed=moved.isoformat()).to_json())

    with pytest.raises(LeaseHeldError, match="anna@far"), holding(on_disk, tell=renew_once):
        raise AssertionError
    assert len(told) == 1
    assert told[0].startswith("watching the lease of anna@far")


def test_one_that_is_let_go_while_it_is_watched_is_free(on_disk: Place) -> None:
    claim = left_by(on_disk, seconds_ago=60, expires_seconds=5.0)
    with holding(on_disk, tell=lambda _: on_disk.write(NAME, claim.release().to_json())):
        pass


# ---- broken --------------------------------------------------------------------------------------


def test_who_breaks_a_lease_has_it_and_the_one_before_stops_at_its_next_step(ledger: Place) -> None:
    told: list[str] = []
    with holding(ledger, timing=QUICK) as first:
        with holding(ledger, run="second", break_lease=True, tell=told.append) as second:
            assert first.lost.wait(20), "a renewal finds out"
            with pytest.raises(LeaseLostError, match=r"has lost the lease .*flow run second.* it stops here"):
                first.check()
            second.check()
        assert [line.split(" of ")[0] for line in told] == ["broke the lease"]
        with holding(ledger) as third:
            first.release()
            third.renew()
            third.check()  # the end of the first takes nothing from the third


def test_a_run_whose_lease_is_gone_stops_since_another_may_have_changed_the_cube_meanwhile(ledger: Place) -> None:
    with holding(ledger, timing=NEVER_RENEWED) as first:
        with holding(ledger, break_lease=True):
            pass
        first.renew()
        with pytest.raises(LeaseLostError, match="let go elsewhere"):
            first.check()
    assert standing_claim(ledger) is None


def test_a_damaged_lease_is_refused_and_can_be_broken(ledger: Place) -> None:
    ledger.write(NAME, b'{"holder": ')
    with pytest.raises(InputError, match=r"lease\.json is damaged; add --break-lease if no other run"), holding(ledger):
        raise AssertionError
    with pytest.raises(StoreError, match="not a lease"):
        standing_claim(ledger)
    assert not release(ledger, "anybody")
    with holding(ledger, break_lease=True) as lease:
        lease.check()


# ---- released by others --------------------------------------------------------------------------


def test_the_lease_of_a_dead_run_is_released_by_whoever_knows_its_id(ledger: Place) -> None:
    claim = left_by(ledger, seconds_ago=1, expires_seconds=120.0)
    assert not release(ledger, "another run")
    assert not release(ledger, "")
    assert standing_claim(ledger) == claim
    assert release(ledger, "id-of-the-run")
    assert standing_claim(ledger) is None
    assert not release(ledger, "id-of-the-run")
    left_by(ledger, seconds_ago=1, expires_seconds=120.0, holder="the holder")
    assert release(ledger, "the holder")


def test_a_living_holder_whose_lease_was_released_by_another_stops(ledger: Place) -> None:
    with holding(ledger, timing=QUICK) as lease:
        assert release(ledger, lease.claim.holder)
        assert lease.lost.wait(20)
        with pytest.raises(LeaseLostError):
            lease.check()


def test_a_worker_learns_that_the_run_it_works_for_no_longer_holds_the_cube(ledger: Place) -> None:
    with holding(ledger) as first:
        Fence(ledger, first.claim.holder).check()
        with holding(ledger, break_lease=True) as second:
            Fence(ledger, second.claim.holder).check()
            with pytest.raises(LeaseLostError, match="nothing is written for it"):
                Fence(ledger, first.claim.holder).check()
        with pytest.raises(LeaseLostError):
            Fence(ledger, second.claim.holder).check()


def test_the_end_of_a_run_leaves_no_thread(on_disk: Place) -> None:
    def renewing() -> int:
        return sum(thread.name == "lease" for thread in threading.enumerate())

    before = renewing()
    with holding(on_disk, timing=QUICK):
        assert renewing() == before + 1
    assert renewing() == before
